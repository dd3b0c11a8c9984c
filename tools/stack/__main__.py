"""`tools/lab up|down`, for the lab in LAB (default: lab)."""

from __future__ import annotations

import argparse
import os
import signal
import sys

from tools.provision import plugins, result
from tools.provision.progress import Progress
from tools.stack.down import down
from tools.stack.engine import Engine
from tools.stack.up import summary, up
from tools.stack.workspace import DEFAULT, LabFault, Workspace, alone


def main() -> int:
    parser = argparse.ArgumentParser(prog="tools/lab", description=__doc__)
    parser.add_argument("action", choices=("up", "down"))
    action = parser.parse_args().action
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a killed `make` is a Ctrl-C
    with Progress(out=sys.stdout) as progress:
        try:
            act(action, os.environ.get("LAB") or DEFAULT, progress)
        except LabFault as fault:
            sys.stderr.write(f"{fault}\n")
            return 1
        except KeyboardInterrupt:
            sys.stderr.write(
                "interrupted; `make lab` goes on from here, `make lab-down` removes it\n"
            )
            return 130
    return 0


def act(action: str, name: str, progress: Progress) -> None:
    lab = Workspace(name)
    with alone(lab):
        work = engine_of(lab, progress)
        if action == "down":
            down(lab, work)
            progress.say(f"the lab {lab.name} is gone")
            return
        if work is None:
            raise LabFault("set-up has not run in this checkout: make setup")
        if plugins.stands_in():
            progress.say("command provider: the stand-in of tools/offline (no vendor's here)")
        standing = up(lab, work)
        progress.say(f"the lab {lab.name} is up")
        sys.stdout.write(f"{summary(lab, standing)}\n")


def engine_of(lab: Workspace, progress: Progress) -> Engine | None:
    """None where set-up never finished."""
    try:
        return Engine(lab, result.read(), progress.say)
    except FileNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
