"""Which packet path a node uses: BPF where the kernel takes it, else nftables, else none."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Literal

from anycastle.agent.takeover.bpf.path import BpfPath
from anycastle.agent.takeover.nft.path import NftPath
from anycastle.agent.takeover.path import PacketEvent, PacketPath, PathCounters, PathError
from anycastle.model.addresses import Endpoint
from anycastle.model.node import NodeSpec

Candidates = Sequence[tuple[str, Callable[[str], PacketPath]]]
"""What to try in turn: a name for people, and what makes the path (no I/O, never fails) when
told why those before it could not be used."""


class NoPath:
    """Knows, relays and reports nothing. Takeover then never begins: clients wait for their
    own timers, as with any other WireGuard gateway. reason: for people."""

    kind: Literal["none"] = "none"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self._never = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def ensure(self, uplinks: Sequence[str], fabric: str) -> bool:  # noqa: ARG002
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


def candidates(spec: NodeSpec) -> Candidates:
    """Those of a node, best first."""
    return [
        ("bpf", lambda _: BpfPath.for_node(spec)),
        ("nftables", lambda reason: NftPath.for_node(spec, reason=reason)),
    ]


def choose(
    uplinks: Sequence[str],
    fabric: str,
    among: Candidates,
    exists: Callable[[str], bool] | None = None,
) -> PacketPath:
    """The first that can be set up on the devices; what the others left behind is removed.

    Its `reason`, if it has one, says why it is not a better one. To be called when the
    inter-node path has been made: a device that is not there says nothing about what the
    kernel can do. Raises PathError while `fabric` is missing; missing uplinks are left to
    the next `ensure`.
    """
    exists = exists or _exists
    if not exists(fabric):
        raise PathError(f"no such network device: {fabric}")
    refusals: list[str] = []
    present = [uplink for uplink in uplinks if exists(uplink)]
    for name, make in among:
        path = make("; ".join(refusals))
        try:
            path.ensure(present, fabric)
        except PathError as error:
            refusals.append(f"{name}: {error}")
            _retire(path)
        else:
            for other, make_other in among:
                if other != name:
                    _retire(make_other(""))
            return path
    return NoPath("; ".join(refusals))


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
