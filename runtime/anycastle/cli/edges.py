"""What the command touches beside its arguments and the terminal.

Passed as click's context object, so that a test hands in its own and nothing
has to be patched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from anycastle.cli import stack

if TYPE_CHECKING:
    import httpx


def _replace_process(command: Sequence[str]) -> None:
    os.execvp(command[0], list(command))  # noqa: S606 - no shell is the point


@dataclass(frozen=True)
class Edges:
    """transport: of HTTP; None: the network. sleep: seconds.

    execute: becomes the given command (as execvp does) and returns only in tests.
    run: runs a command to its end.
    """

    transport: httpx.BaseTransport | None = None
    sleep: Callable[[float], None] = time.sleep
    execute: Callable[[Sequence[str]], None] = _replace_process
    run: stack.Run = stack.run


def edges() -> Edges:
    """Those of the running command."""
    return click.get_current_context().ensure_object(Edges)
