"""Run benchmarks and print their results as JSON lines: `python -m benchmarks [NAME…]`.

Those of a lab use the running one that LAB names; where there is none they bring one up
(and down again). A benchmark that fails says so on stderr, and the exit code is 1. Those
of outages and drains take long: `--kills 3 --drains 2` is a short look, and `--resume`
goes on where an interrupted run was.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from types import ModuleType

from benchmarks.options import Options
from benchmarks.result import Result
from tests.support import lab as labs
from tests.support.lab import CHECKOUT, Lab

NAMES = (
    "client_route",
    "feed_fanout",
    "client_add",
    "preview",
    "preview_regions",
    "footprint",
    "packet_cost",
    "path_cost",
    "takeover_rate",
    "drain",
    "outage",
    "outage_crowd",
)


def main() -> int:
    names, options = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # clean up as after a Ctrl-C
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names]
    alone = [module for module in modules if "lab" not in _wanted(module)]
    in_lab = [module for module in modules if "lab" in _wanted(module)]
    failed = [not _report(module, options=options) for module in alone]
    if in_lab:
        with running_lab() as lab:
            failed += [not _report(module, options=options, lab=lab) for module in in_lab]
    return int(any(failed))


def _arguments() -> tuple[list[str], Options]:
    """One option `--some-field N` for each field of Options."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    for field in fields(Options):
        name = f"--{field.name.replace('_', '-')}"
        if field.type == "bool":
            parser.add_argument(name, action="store_true")
        else:
            parser.add_argument(name, type=int, default=field.default, metavar="N")
    given = vars(parser.parse_args())
    names = given.pop("names") or list(NAMES)
    if unknown := set(names) - set(NAMES):
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; known: {NAMES}")
    return names, Options(**given)


def _wanted(module: ModuleType) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(module.run).parameters


def _report(module: ModuleType, **known: Lab | Options) -> bool:
    """known: what `run` may ask for by the name of a parameter."""
    began = time.monotonic()
    results: Iterator[Result] = module.run(**{name: known[name] for name in _wanted(module)})
    try:
        for result in results:
            print(result.line(), flush=True)
    except Exception:  # noqa: BLE001 - the next benchmark shall run all the same
        traceback.print_exc()
        print(f"{module.__name__} failed after {time.monotonic() - began:.0f} s", file=sys.stderr)
        return False
    return True


@contextmanager
def running_lab() -> Iterator[Lab]:
    """The lab that LAB names when it is up, else one for this run."""
    name = os.environ.get("LAB", "lab")
    if (CHECKOUT / ".lab" / name / "hosts.json").exists():
        yield Lab(name)
        return
    own = f"bench-{os.getpid()}"
    print(f"no lab {name!r} is up; standing up {own}", file=sys.stderr)
    try:
        yield labs.up(own)
    finally:
        labs.down(own)


if __name__ == "__main__":
    sys.exit(main())
