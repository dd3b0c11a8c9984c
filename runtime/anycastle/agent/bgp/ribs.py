"""Adj-RIB-Out and Adj-RIB-In of one session (RFC 4271 3.2). Pure.

Outgoing: what is to be announced, and which prefixes the daemon has not been told
about yet. A prefix that changes ten times before it is sent is sent once. Incoming:
a connection's routes replace those of the connection before it at End-of-RIB, so a
daemon's restart does not empty what is known.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from anycastle.agent.bgp import attributes as path
from anycastle.agent.bgp import messages
from anycastle.agent.bgp.attributes import PathAttributes
from anycastle.agent.bgp.messages import Update
from anycastle.agent.bgp.wire import HEADER_SIZE, MAX_MESSAGE, Afi, encode_prefix
from anycastle.model.addresses import Network

T = TypeVar("T")

ROOM = MAX_MESSAGE - HEADER_SIZE - 16
"""Bytes of an UPDATE for attributes and prefixes (lengths and attribute headers subtracted)."""
ATTRIBUTES = 512
"""Bytes of them that are kept for attributes; a client route has about 90."""


class Outgoing(Generic[T]):
    """Routes of one session. describe: path attributes of a stored route."""

    def __init__(self, describe: Callable[[T], PathAttributes]) -> None:
        self._describe = describe
        self._routes: dict[Network, T] = {}
        self._pending: OrderedDict[Network, None] = OrderedDict()
        self._ends: list[Afi] = []

    def __len__(self) -> int:
        return len(self._routes)

    @property
    def idle(self) -> bool:
        """Nothing is left to send."""
        return not self._pending and not self._ends

    def announce(self, prefix: Network, route: T) -> None:
        """Announce, unless the daemon knows it, or is about to be told, as it is."""
        if self._routes.get(prefix) != route:
            self._routes[prefix] = route
            self._pending[prefix] = None

    def withdraw(self, prefix: Network) -> None:
        if self._routes.pop(prefix, None) is not None:
            self._pending[prefix] = None

    def restart(self) -> None:
        """A new connection: everything is to be sent."""
        self._pending = OrderedDict.fromkeys(self._routes)
        self._ends = []

    def resend(self, afi: Afi) -> None:
        """The daemon asked for a family anew (RFC 2918)."""
        version = 4 if afi is Afi.IPV4 else 6
        for prefix in self._routes:
            if prefix.version == version:
                self._pending[prefix] = None

    def end(self) -> None:
        """Send End-of-RIB of both families when all that is pending has been sent."""
        self._ends = [Afi.IPV4, Afi.IPV6]

    def take(self, count: int) -> list[bytes]:
        """UPDATEs for the next `count` prefixes at most; empty when there is nothing."""
        size = min(count, len(self._pending))
        batch = [self._pending.popitem(last=False)[0] for _ in range(size)]
        if not batch:
            ends, self._ends = self._ends, []
            return [messages.encode(Update(end_of_rib=afi)) for afi in ends]
        gone = [prefix for prefix in batch if prefix not in self._routes]
        return [*_withdrawals(gone), *self._announcements(batch)]

    def _announcements(self, batch: Iterable[Network]) -> Iterator[bytes]:
        groups: dict[tuple[int, PathAttributes], list[Network]] = {}
        for prefix in batch:
            if prefix in self._routes:
                attributes = self._describe(self._routes[prefix])
                groups.setdefault((prefix.version, attributes), []).append(prefix)
        for (version, attributes), prefixes in groups.items():
            for chunk in pack(prefixes, ROOM - ATTRIBUTES):
                yield _announcement(version, attributes, chunk)


def _announcement(version: int, attributes: PathAttributes, chunk: bytes) -> bytes:
    if version == 4:
        return messages.update_body(attributes=path.encode(attributes), announced=chunk)
    return messages.update_body(attributes=path.encode(attributes, reached=chunk))


def _withdrawals(prefixes: Iterable[Network]) -> Iterator[bytes]:
    sorted_out: dict[int, list[Network]] = {4: [], 6: []}
    for prefix in prefixes:
        sorted_out[prefix.version].append(prefix)
    for chunk in pack(sorted_out[4], ROOM):
        yield messages.update_body(withdrawn=chunk)
    for chunk in pack(sorted_out[6], ROOM):
        yield messages.update_body(attributes=path.encode_unreached(chunk))


def pack(prefixes: Iterable[Network], room: int) -> Iterator[bytes]:
    """Prefixes in as few fields of at most `room` bytes as their order allows."""
    parts: list[bytes] = []
    size = 0
    for prefix in prefixes:
        encoded = encode_prefix(prefix)
        if size + len(encoded) > room:
            yield b"".join(parts)
            parts, size = [], 0
        parts.append(encoded)
        size += len(encoded)
    if parts:
        yield b"".join(parts)


@dataclass(frozen=True, slots=True)
class _Heard(Generic[T]):
    route: T
    connection: int


class Incoming(Generic[T]):
    """What the daemon told, over one connection after the other."""

    def __init__(self) -> None:
        self._heard: dict[Network, _Heard[T]] = {}
        self._connection = 0

    def get(self, prefix: Network) -> T | None:
        heard = self._heard.get(prefix)
        return heard.route if heard else None

    def items(self) -> Iterator[tuple[Network, T]]:
        return ((prefix, heard.route) for prefix, heard in self._heard.items())

    def restart(self) -> None:
        """A new connection: what was heard before is stale until End-of-RIB."""
        self._connection += 1

    def put(self, prefix: Network, route: T) -> bool:
        """Returns whether it is news."""
        known = self._heard.get(prefix)
        self._heard[prefix] = _Heard(route, self._connection)
        return known is None or known.route != route

    def remove(self, prefix: Network) -> bool:
        """Returns whether it was known."""
        return self._heard.pop(prefix, None) is not None

    def sweep(self, afi: Afi) -> list[Network]:
        """End-of-RIB: forget what this connection did not repeat. Returns the forgotten."""
        version = 4 if afi is Afi.IPV4 else 6
        stale = [
            prefix
            for prefix, heard in self._heard.items()
            if prefix.version == version and heard.connection != self._connection
        ]
        for prefix in stale:
            del self._heard[prefix]
        return stale
