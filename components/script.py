"""The shell scripts that run on hosts, as text for a shell's standard input.

On stdin rather than in the command: it may hold secrets, it may be long, and an error
message quotes the command. The script is one function that is read whole before it
starts, so nothing that it runs can eat the rest of it. Pure but for reading the files.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

_FOLDER = Path(__file__).parent / "scripts"
_NAME = re.compile(r"[A-Z][A-Z0-9_]*")


def compose(name: str, variables: Mapping[str, str]) -> str:
    """The script `scripts/NAME.sh` with its variables set. Raises ValueError for a bad name.

    The variables are the shell's own, not exported: no process list shows them.
    """
    body = _FOLDER.joinpath("write.sh").read_text() + _FOLDER.joinpath(f"{name}.sh").read_text()
    return wrap(variables, body)


def wrap(variables: Mapping[str, str], body: str) -> str:
    """`body` as a function of a text that a shell reads from its standard input."""
    for variable in variables:
        if not _NAME.fullmatch(variable):
            raise ValueError(f"{variable!r} is no name for a script's variable")
    settings = [f"{key}={shlex.quote(value)}" for key, value in variables.items()]
    return "\n".join([*settings, "main() {", body + "}", "main </dev/null", ""])
