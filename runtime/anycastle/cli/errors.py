"""Failures that a person reads in one line, and the exit codes that scripts read.

The codes are part of the command's interface (docs/cli.md): never renumber one.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterable

import click


class Exit(enum.IntEnum):
    """Exit codes. `lab exec` hands on its command's own code instead."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNREACHABLE = 4
    DENIED = 5
    BROKEN = 6
    UNFINISHED = 7


class Failure(click.ClickException):
    """Ends the command with one line on stderr: what is wrong, then what to do.

    reason: the API's own stable code (`name_taken`) when it was the API that refused.
    """

    def __init__(self, code: Exit, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click's is a class variable
        return int(self.code)


def nearest(name: str, known: Iterable[str]) -> str:
    """` (did you mean NAME?)` for the known name closest to `name`, else nothing."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]}?)" if close else ""
