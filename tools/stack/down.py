"""`make lab-down`: destroys the stack, then removes whatever is left, whatever had happened before."""

from __future__ import annotations

import subprocess
import sys

from tools.places import CHECKOUT
from tools.stack import engine, workspace
from tools.stack.engine import Engine
from tools.stack.workspace import LabFault, Workspace

DESTROY_SECONDS = 300.0


def down(lab: Workspace, work: Engine | None) -> None:
    """Raises LabFault when something of the lab stays behind. Without set-up there is only the sweep."""
    if work is not None and lab.checkpoint.exists():
        destroy(lab, work)
    sweep(lab)
    workspace.clear(lab)


def destroy(lab: Workspace, work: Engine) -> None:
    """By Pulumi, as long as that works; a lab that is half there is the sweep's."""
    workspace.prepare(lab)
    engine.end_others(lab)
    engine.free(lab)
    try:
        status = work.watched("destroy", "--yes", "--skip-preview", seconds=DESTROY_SECONDS)
    except LabFault as error:
        work.say(str(error))
        status = 1
    if status != 0:
        work.say(f"`pulumi destroy` ended with {status}; the sweep removes what it left")


def sweep(lab: Workspace) -> None:
    command = [
        sys.executable,
        "-m",
        "components.lab.sweep",
        lab.name,
        "--directory",
        str(lab.folder),
    ]
    if subprocess.run(command, cwd=CHECKOUT, stdin=subprocess.DEVNULL, check=False).returncode != 0:
        raise LabFault(
            f"something of the lab {lab.name} could not be removed (see above).\n"
            "End what still uses it and run `make lab-down` again"
        )
