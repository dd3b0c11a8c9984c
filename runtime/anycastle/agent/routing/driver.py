"""What a routing driver is. BIRD and FRR are equals behind it.

A third daemon is one more module with these five functions, and a line in `driver_for`.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from anycastle.agent.routing.commands import Completed, Run
from anycastle.model.deployment import Routing
from anycastle.model.node import NodeSpec, Peer

Files = Mapping[str, str]
"""Absolute path -> text of the file."""


class RoutingError(Exception):
    """The daemon can't be used; the message says why and what to do."""


@dataclass(frozen=True)
class Peering:
    """One BGP session of the daemon. kind: `edge`, `peer` (another node) or `agent`.

    detail: what the daemon says about a session that is not up.
    """

    name: str
    kind: str
    up: bool
    detail: str = ""


@dataclass(frozen=True)
class RoutingState:
    """running: the daemon answers on its control socket."""

    running: bool
    peerings: tuple[Peering, ...] = ()
    detail: str = ""


class Driver(Protocol):
    """One daemon on one node."""

    name: str

    def render(self, spec: NodeSpec, peers: Sequence[Peer]) -> Files:
        """The daemon's whole configuration. Pure: the same arguments, the same text."""

    async def check(self, files: Files) -> None:
        """Let the daemon's own parser read it, nothing is changed. Raises RoutingError."""

    async def load(self, files: Files) -> bool:
        """Check the files, put them in place, make the daemon run with them.

        A running daemon takes them over without closing sessions that did not
        change; the other daemon is stopped. Called again with the same files it only
        looks whether the daemon runs. Returns whether it did more. Raises RoutingError.
        """

    async def state(self) -> RoutingState:
        """What the daemon says. Never raises: a silent daemon is not running."""

    async def stop(self) -> None:
        """Stop the daemon; its sessions end and its routes go."""


def driver_for(routing: Routing) -> Driver:
    """The driver of a real node, with Debian's paths and systemd's units."""
    from anycastle.agent.routing.bird import BirdDriver  # noqa: PLC0415 they import this module
    from anycastle.agent.routing.frr import FrrDriver  # noqa: PLC0415

    return BirdDriver() if routing is Routing.BIRD else FrrDriver()


def write_changed(files: Files) -> list[str]:
    """Write the files that differ from what is on disk, each at once. Returns their paths."""
    changed = [path for path, text in files.items() if _read(Path(path)) != text]
    for path in changed:
        _write(Path(path), files[path])
    return changed


@contextlib.contextmanager
def trial_copy(text: str) -> Iterator[str]:
    """Path of a temporary file with `text`, for a parser to read."""
    with tempfile.NamedTemporaryFile("w", prefix="anycastle-", suffix=".conf") as file:
        file.write(text)
        file.flush()
        yield file.name


def _read(path: Path) -> str | None:
    try:
        return path.read_text()
    except FileNotFoundError:
        return None


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        os.fchmod(descriptor, 0o644)  # the daemons run as users of their own
        file.flush()
        os.fsync(descriptor)
    Path(temporary).replace(path)


async def command(run: Run, daemon: str, package: str, words: Sequence[str]) -> Completed:
    """Run a program of a daemon. Raises RoutingError when the daemon is not there."""
    try:
        return await run(words)
    except FileNotFoundError:
        raise RoutingError(
            f"routing: {daemon}: this node has no {words[0]}: install the Debian package "
            f"{package}, or choose the other daemon in the stack file"
        ) from None
    except TimeoutError:
        raise RoutingError(f"routing: {daemon}: {' '.join(words)} did not end in time") from None
