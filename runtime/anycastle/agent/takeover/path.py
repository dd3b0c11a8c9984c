"""What takeover needs of a packet path, whichever way one is made.

A packet path stands in front of WireGuard. It knows by the receiver index which data
packets belong to sessions of this node, relays the others to the node that owns them,
and reports what the agent has to know: at most one event per endpoint and second.

All calls block and are made from the data path's worker thread, except `fileno` and
`drain`, which belong to the loop's thread. Every call but `drain` may raise PathError.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Literal, Protocol

from anycastle.model.addresses import Endpoint


class EventKind(enum.Enum):
    """What a packet told.

    FOREIGN: a data packet (type 4) from an endpoint in `relays`, under an index that is
    not ours. At most one per endpoint and second.
    ANSWERED: a handshake response (type 2) to an initiation of ours came. Once per index.
    FIRST: the first data packet under an index of ours. Once per index.
    """

    FOREIGN = "foreign"
    ANSWERED = "answered"
    FIRST = "first"


@dataclass(frozen=True, slots=True)
class PacketEvent:
    """endpoint: where the packet came from. at: seconds of the monotonic clock."""

    kind: EventKind
    endpoint: Endpoint
    at: float


@dataclass(frozen=True, slots=True)
class PathCounters:
    """Packets since the path was first loaded.

    own: data under an index of ours. foreign: data of another node's session. relayed:
    of these, sent on to the owner. delivered: came relayed and was ours. refused: came
    relayed and was not ours, so dropped, never relayed again. unknown: data from an
    endpoint that nobody owns. reported: events put in the ring. suppressed: events held
    back by the rate limits. lost: events that the full ring had no room for.
    """

    own: int = 0
    foreign: int = 0
    relayed: int = 0
    delivered: int = 0
    refused: int = 0
    unknown: int = 0
    reported: int = 0
    suppressed: int = 0
    lost: int = 0


class PathError(Exception):
    """A packet path could not be set up or changed; the text says what and why."""


class PacketPath(Protocol):
    """See the module's text for threads."""

    @property
    def kind(self) -> Literal["bpf", "nftables", "none"]: ...

    def ensure(self, uplinks: Sequence[str], fabric: str) -> bool:
        """Load, pin and attach what is missing on these devices. Idempotent.

        True when something had to be done.
        """

    def held(self) -> bool:
        """Is something of it in the kernel, perhaps an earlier agent's? Then the kernel takes it."""

    def put_relays(self, relays: Mapping[Endpoint, IPv4Address | None]) -> None:
        """Whose client sends from there: the loopback of the node to relay to.

        None: the owner vanished, so report only.
        """

    def remove_relays(self, endpoints: Iterable[Endpoint]) -> None: ...

    def relays(self) -> dict[Endpoint, IPv4Address | None]:
        """What the kernel holds, also after a restart of the agent."""

    def forget(self, endpoints: Iterable[Endpoint]) -> None:
        """The indices that were negotiated with these endpoints are no longer ours."""

    def trust(self, on: bool) -> None:
        """Relaying allowed? Off at first load. Events are reported in any case."""

    def fileno(self) -> int:
        """Readable while events wait."""

    def drain(self) -> list[PacketEvent]:
        """The events that wait, oldest first; never blocks."""

    def counters(self) -> PathCounters: ...

    def close(self) -> None:
        """Let go of the descriptors. Detaches nothing: the path outlives the agent."""

    def remove(self) -> None:
        """Detach and unpin everything."""
