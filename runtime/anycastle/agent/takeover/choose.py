"""Which packet path a node uses: BPF where the kernel takes it, else nftables, else none.

A refusal is final for as long as the path that was chosen instead works. So it has to be one:
what the kernel holds already it has taken before, and then a failure says that something is
wrong at the moment. Giving it up would lose what it has learnt of live sessions.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal, NamedTuple

from anycastle.agent.takeover.bpf import pins
from anycastle.agent.takeover.bpf.path import BpfPath
from anycastle.agent.takeover.nft.path import NftPath
from anycastle.agent.takeover.path import PacketEvent, PacketPath, PathCounters, PathError
from anycastle.model.addresses import Endpoint
from anycastle.model.deployment import PathChoice
from anycastle.model.node import NodeSpec


class Candidate(NamedTuple):
    """What may be tried. name: for people. make: makes the path (no I/O, never fails) when
    told why those before it are not used. excluded: why it must not be, "" when it may."""

    name: str
    make: Callable[[str], PacketPath]
    excluded: str = ""


class NoPath:
    """Knows, relays and reports nothing. Takeover then never begins: clients wait for their
    own timers, as with any other WireGuard gateway. reason: for people."""

    kind: Literal["none"] = "none"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self._never = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ensure(self, uplinks: Sequence[str], fabric: str) -> bool:  # noqa: ARG002
        return False

    def held(self) -> bool:
        return False

    def put_relays(self, relays: Mapping[Endpoint, IPv4Address | None]) -> None: ...

    def remove_relays(self, endpoints: Iterable[Endpoint]) -> None: ...

    def relays(self) -> dict[Endpoint, IPv4Address | None]:
        return {}

    def forget(self, endpoints: Iterable[Endpoint]) -> None: ...

    def trust(self, on: bool) -> None: ...

    def fileno(self) -> int:
        """Never readable."""
        return self._never

    def drain(self) -> list[PacketEvent]:
        return []

    def counters(self) -> PathCounters:
        return PathCounters()

    def close(self) -> None:
        if self._never >= 0:
            os.close(self._never)
            self._never = -1

    def remove(self) -> None: ...


def candidates(spec: NodeSpec, *, directory: Path = pins.DIRECTORY) -> Sequence[Candidate]:
    """Those of a node, best first. directory: of BPF's pins."""
    wish = spec.takeover.path

    def excluded(one: PathChoice) -> str:
        return "" if wish in (PathChoice.AUTO, one) else f"takeover.path is {wish}"

    return [
        Candidate(
            "bpf",
            lambda _: BpfPath.for_node(spec, directory=directory),
            excluded(PathChoice.BPF),
        ),
        Candidate(
            "nftables",
            lambda reason: NftPath.for_node(spec, reason=reason),
            excluded(PathChoice.NFTABLES),
        ),
    ]


def choose(
    uplinks: Sequence[str],
    fabric: str,
    among: Sequence[Candidate],
    exists: Callable[[str], bool] | None = None,
    *,
    patient: bool = False,
) -> PacketPath:
    """The first that can be set up on the devices; what the others left behind is removed.

    Its `reason`, if it has one, says why it is not a better one. To be called when the
    inter-node path has been made: a device that is not there says nothing about what the
    kernel can do. Missing uplinks are left to the next `ensure`. Raises PathError while
    `fabric` is missing and, if `patient`, when a path that the kernel holds fails: nothing
    has been removed then, and trying again may do.
    """
    exists = exists or _exists
    _require(fabric, exists)
    refusals: list[str] = []
    for candidate in among:
        path = candidate.make("; ".join(refusals))
        held = patient and not candidate.excluded and _held(path)
        refusal = candidate.excluded or _refusal(path, uplinks, fabric, exists)
        if not refusal:
            for other in among:
                if other is not candidate:
                    _retire(other.make(""))
            return path
        refusals.append(f"{candidate.name}: {refusal}")
        if held:
            path.close()
            raise PathError(refusals[-1])
        _retire(path)
    return NoPath("; ".join(refusals))


def _refusal(
    path: PacketPath, uplinks: Sequence[str], fabric: str, exists: Callable[[str], bool]
) -> str:
    """Why it can't be set up; "" when it is. Raises PathError when `fabric` went away."""
    try:
        path.ensure([uplink for uplink in uplinks if exists(uplink)], fabric)
    except PathError as error:
        _require(fabric, exists)
        return str(error)
    return ""


def _require(fabric: str, exists: Callable[[str], bool]) -> None:
    if not exists(fabric):
        raise PathError(f"no such network device: {fabric}")


def _held(path: PacketPath) -> bool:
    try:
        return path.held()
    except PathError:
        return False


def _retire(path: PacketPath) -> None:
    """Two paths at once would disagree on what is whose."""
    with contextlib.suppress(PathError):
        path.remove()
    path.close()


def _exists(device: str) -> bool:
    try:
        return bool(socket.if_nametoindex(device))
    except OSError:
        return False
