"""Run benchmarks and print their results as JSON lines: `python -m benchmarks [NAME…]`.

Those of a lab use the running one that LAB names; where there is none they bring one up
(and down again). A benchmark that fails says so on stderr, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from benchmarks.result import Result
from tests.support import lab as labs
from tests.support.lab import CHECKOUT, Lab

NAMES = ("client_route", "feed_fanout", "client_add", "preview", "footprint")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args().names or list(NAMES)
    unknown = set(names) - set(NAMES)
    if unknown:
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}; known: {NAMES}")
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names]
    alone = [module for module in modules if not _needs_lab(module)]
    in_lab = [module for module in modules if _needs_lab(module)]
    failed = [not _report(module) for module in alone]
    if in_lab:
        with running_lab() as lab:
            failed += [not _report(module, lab) for module in in_lab]
    return int(any(failed))


def _needs_lab(module: ModuleType) -> bool:
    return "lab" in inspect.signature(module.run).parameters


def _report(module: ModuleType, *arguments: Lab) -> bool:
    began = time.monotonic()
    results: Iterator[Result] = module.run(*arguments)
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
