"""How the routing drivers run commands and services. I/O; nothing is decided here.

Drivers take a `Run` and a `Service` as arguments, so that tests start daemons in
network namespaces without systemd.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

TIMEOUT = 60.0
"""Seconds that a command may take; starting FRR is the longest."""


@dataclass(frozen=True)
class Completed:
    """A command that ended. output: its standard output and error, as they came."""

    status: int
    output: str


Run = Callable[[Sequence[str]], Awaitable[Completed]]
"""Run a command (a list, no shell) to its end. Raises FileNotFoundError, TimeoutError."""


async def run(command: Sequence[str]) -> Completed:
    """The `Run` of a real node."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            output, _ = await process.communicate()
    except (TimeoutError, asyncio.CancelledError):
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    return Completed(process.returncode or 0, output.decode(errors="replace"))


class Service(Protocol):
    """A daemon under supervision."""

    name: str

    async def running(self) -> bool:
        """Does it run (or is it just being started)?"""

    async def start(self) -> str:
        """Start it, wait until it is up. Returns "" or what went wrong."""

    async def stop(self) -> None:
        """Stop it, and keep it from starting at boot. Fine if it is not installed."""

    async def reread(self) -> None:
        """The unit's files changed."""


@dataclass
class SystemdService:
    """A unit of systemd. It is never enabled: the agent starts it, after the addresses."""

    name: str
    run: Run = run

    async def running(self) -> bool:
        done = await self.run(["systemctl", "is-active", "--quiet", self.name])
        return done.status == 0

    async def start(self) -> str:
        # A daemon that failed often is not started again before this.
        await self.run(["systemctl", "reset-failed", self.name])
        done = await self.run(["systemctl", "restart", self.name])
        if done.status == 0:
            return ""
        log = await self.run(["journalctl", "--no-pager", "-o", "cat", "-n", "5", "-u", self.name])
        return f"{done.output.strip()}\n{log.output.strip()}"

    async def stop(self) -> None:
        await self.run(["systemctl", "disable", "--now", "--quiet", self.name])

    async def reread(self) -> None:
        await self.run(["systemctl", "daemon-reload"])
