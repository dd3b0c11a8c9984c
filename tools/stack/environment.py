"""The variables of a lab: for the pulumi that we start, and for a person's shell (`.lab/env`)."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tools.places import CHECKOUT, VENV
from tools.provision.result import Setup
from tools.stack.workspace import DEFAULT, Workspace

API_PORT = 8443


def variables(lab: Workspace, setup: Setup, api: str | None = None) -> dict[str, str]:
    """All but PATH. `api`: the API's address for an operator, once there is one."""
    found = {
        "LAB": lab.name,
        "VIRTUAL_ENV": str(VENV),
        "PULUMI_HOME": setup.pulumi_home,
        "PULUMI_BACKEND_URL": lab.state.as_uri(),
        "PULUMI_STACK": lab.name,
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(lab.folder / "passphrase"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "ANYCASTLE_IMAGE": setup.image,
        "ANYCASTLE_LAB_DIR": str(lab.folder),
    }
    if lab.name != DEFAULT:
        found["PULUMI_OPTION_CONFIG_FILE"] = str(lab.config)
    if api is not None:
        found["ANYCASTLE_URL"] = api
        found["ANYCASTLE_CA"] = str(lab.folder / "control-ca.pem")
    return found


def for_child(lab: Workspace, setup: Setup) -> dict[str, str]:
    """The whole environment of a process that works on `lab`."""
    inherited = {name: value for name, value in os.environ.items() if not foreign(name)}
    path = os.pathsep.join([*setup.path, os.environ.get("PATH", os.defpath)])
    return {**inherited, **variables(lab, setup), "PATH": path}


def foreign(name: str) -> bool:
    """Variables of another stack or lab, which a person may have sourced."""
    return name.startswith(("PULUMI_", "ANYCASTLE_")) or name in ("PYTHONPATH", "PYTHONHOME")


def shell_text(lab: Workspace, setup: Setup, api: str | None) -> str:
    """The file that a person sources, in any POSIX shell, once or many times."""
    own = variables(lab, setup, api)
    lines = [
        f"# Shell settings of the lab {lab.name}: . {shown(lab.folder)}/env",
        "unset PULUMI_CONFIG_PASSPHRASE PULUMI_OPTION_CONFIG_FILE PYTHONHOME",
        *(f"export {name}={shlex.quote(value)}" for name, value in own.items()),
        "ANYCASTLE_TOKEN=$(cat "
        + shlex.quote(str(lab.folder / "operator.token"))
        + " 2>/dev/null || true)",
        "export ANYCASTLE_TOKEN",
    ]
    for folder in reversed(setup.path):
        quoted = shlex.quote(folder)
        lines.append(f'case ":$PATH:" in *:{quoted}:*) ;; *) PATH={quoted}:$PATH ;; esac')
    return "\n".join([*lines, "export PATH", ""])


def shown(path: Path) -> str:
    """A path as a person in the checkout would type it."""
    return str(path.relative_to(CHECKOUT)) if path.is_relative_to(CHECKOUT) else str(path)
