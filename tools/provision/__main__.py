"""`tools/setup [--for lab|test] [--verbose]`: carries out the steps and says what failed and why."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tools import packet_program
from tools.places import LAB_ROOT, cache_root
from tools.provision import debian, image, plugins, pulumi_cli, python_env, result
from tools.provision.graph import Run, Step
from tools.provision.progress import Progress, explain


def plan(purpose: str) -> list[Step]:
    """The steps for `lab` or `test`; the latter has more Debian packages."""
    steps = [
        debian.step("lab"),
        *pulumi_cli.steps(),
        image.step(),
        *python_env.steps(),
        plugins.step(),
        packet_program.step(),
    ]
    return [*steps, debian.step("test", needs=("debian-lab",))] if purpose == "test" else steps


@contextmanager
def alone(progress: Progress) -> Iterator[None]:
    """Only one set-up at a time on a cache; the lock goes with the process."""
    cache_root().mkdir(parents=True, exist_ok=True)
    with (cache_root() / "setup.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress.say("another set-up is at work; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/setup", description=__doc__)
    parser.add_argument("--for", dest="purpose", choices=("lab", "test"), default="lab")
    parser.add_argument("--verbose", action="store_true", help="also say what was done already")
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.stderr.write("set-up installs Debian packages and boots containers: run it as root\n")
        return 1
    with Progress(verbose=options.verbose) as progress, alone(progress):
        outcomes = Run(LAB_ROOT / "logs" / "setup", progress)(plan(options.purpose))
        trouble = explain(outcomes)
        if not trouble:
            result.write()
    if trouble:
        sys.stderr.write(f"{trouble}\n")
        return 1
    progress.say("set-up is complete")
    return 0


if __name__ == "__main__":
    sys.exit(main())
