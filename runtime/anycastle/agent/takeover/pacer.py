"""In which order, and how fast, clients are taken over. Pure.

When a node dies, all of its clients reach others at once. WireGuard answers more than
512 queued handshake messages (kernel; wireguard-go: 128) with cookies, which costs each
client 5 s, and then, but only then, takes no more than 20 a second from one source address
(kernel: receive.c asks for the cookie, and cookie.c for the rate limit after it, under load
alone; wireguard-go's receive.go likewise). So:

- at most `backlog` handshakes are open, each until its answer is there, for
  machine.RESPONSE at most: the answers
  to them are what could queue up. This keeps WireGuard out of that mode, and a thousand
  clients behind one NAT address need not wait for each other;
- when an initiation to a source was not answered, WireGuard may be in that mode all the
  same, for what others send it: SPACING lies between two initiations to that source for
  the next CAREFUL. A source is what WireGuard's own limit counts: an IPv4 address, an
  IPv6 /64 (kernel, ratelimiter.c);
- the client that sent last goes first: somebody waits. Adopted ones, who are idle, last.

Each source has a queue of its own, and a queue of sources whose turn it may be: taking
and adding cost O(log n), also with thousands of clients behind one address. An entry of
a heap may be outdated; it is recognised by its ticket when it comes up.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from anycastle.agent.takeover.timers import Timers
from anycastle.model.addresses import Endpoint

SPACING = 0.05
"""Seconds between two initiations to a source that did not answer one."""
CAREFUL = 10.0
"""Seconds for which such a source is spaced."""
BACKLOG = {"kernel": 300, "userspace": 100}
"""Open handshakes at most, by kind of WireGuard; well under what makes it send cookies."""


class Ticket(NamedTuple):
    """A place in the queue; the smallest is the first. number: makes it unique."""

    idle: bool
    age: float
    number: int
    client: str
    source: bytes


@dataclass(slots=True)
class _Source:
    """Clients behind one address. parked: it has had its turn, until SPACING is over."""

    waiting: list[Ticket] = field(default_factory=list)
    parked: bool = False


class Pacer:
    """The queue, and the handshakes that are open."""

    def __init__(self, backlog: int) -> None:
        self.backlog = backlog
        self._tickets: dict[str, Ticket] = {}
        self._later: Timers[Ticket] = Timers()
        self._parked: Timers[bytes] = Timers()
        self._sources: dict[bytes, _Source] = {}
        self._ready: list[Ticket] = []
        self._open: set[str] = set()
        self._careful: dict[bytes, float] = {}
        self._number = itertools.count()

    def put(
        self,
        client: str,
        endpoint: Endpoint,
        active_at: float,
        *,
        idle: bool = False,
        due: float = 0.0,
    ) -> None:
        """Queue a client, or give it another place. due: not before then. idle: it sends
        nothing, so it comes last. Times are monotonic."""
        ticket = Ticket(idle, -active_at, next(self._number), client, source(endpoint))
        self._tickets[client] = ticket
        self._later.push(due, ticket)

    def remove(self, client: str) -> None:
        """Out of the queue; nothing happens when it is not in it."""
        self._tickets.pop(client, None)

    def close(self, client: str) -> None:
        """Its handshake is no longer open."""
        self._open.discard(client)

    def unanswered(self, endpoint: Endpoint, now: float) -> None:
        """An initiation to this endpoint was not answered: be careful with its source."""
        self._careful[source(endpoint)] = now + CAREFUL

    def take(self, now: float) -> Iterator[str]:
        """Clients whose turn has come, each now with an open handshake. Ask anew after
        each change: what was not taken stays."""
        self._wake(now)
        while len(self._open) < self.backlog and (ticket := self._best()):
            del self._tickets[ticket.client]
            heapq.heappop(self._sources[ticket.source].waiting)
            self._open.add(ticket.client)
            self._next_of(ticket.source, now)
            yield ticket.client

    def _next_of(self, key: bytes, now: float) -> None:
        """Another client of the same source may follow: at once, or after SPACING."""
        if self._careful.get(key, now) > now:
            self._sources[key].parked = True
            self._parked.push(now + SPACING, key)
        else:
            self._careful.pop(key, None)
            self._offer(key)

    def next(self) -> float | None:
        """When `take` may find somebody without anything else happening: None: never."""
        if len(self._open) >= self.backlog or not self._tickets:
            return None
        if self._ready:
            return 0.0
        times = (self._later.next(), self._parked.next())
        return min((time for time in times if time is not None), default=None)

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def open(self) -> int:
        """Handshakes that are open."""
        return len(self._open)

    def _wake(self, now: float) -> None:
        for ticket in self._later.due(now):
            if self._valid(ticket):
                source = self._sources.setdefault(ticket.source, _Source())
                heapq.heappush(source.waiting, ticket)
                self._offer(ticket.source)
        for key in self._parked.due(now):
            self._sources[key].parked = False
            self._offer(key)

    def _offer(self, key: bytes) -> None:
        """Put the source's first client among those whose turn it may be."""
        source = self._sources[key]
        while source.waiting and not self._valid(source.waiting[0]):
            heapq.heappop(source.waiting)
        if source.parked:
            return
        if source.waiting:
            heapq.heappush(self._ready, source.waiting[0])
        else:
            del self._sources[key]

    def _best(self) -> Ticket | None:
        """The first of all whose source may have its turn."""
        while self._ready:
            ticket = heapq.heappop(self._ready)
            source = self._sources.get(ticket.source)
            if source is None or source.parked:
                continue
            if not self._valid(ticket):
                self._offer(ticket.source)
            elif source.waiting[0] is ticket:
                return ticket
        return None

    def _valid(self, ticket: Ticket) -> bool:
        return self._tickets.get(ticket.client) is ticket


def source(endpoint: Endpoint) -> bytes:
    """What WireGuard's rate limit counts as one: an IPv4 address, or an IPv6 /64."""
    packed = endpoint.address.packed
    return packed if len(packed) == 4 else packed[:8]
