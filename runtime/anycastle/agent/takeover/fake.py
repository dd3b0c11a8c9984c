"""The packet path in memory: for tests, and as the shortest account of what a path does."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Address
from typing import Literal

from anycastle.agent.takeover.path import EventKind, PacketEvent, PathCounters, PathError
from anycastle.model.addresses import Endpoint


class FakePath:
    """A PacketPath. Knobs: `broken`; `learn` (WireGuard sent a handshake message),
    `data` and `answer` (a packet came).

    What the kernel would keep over a restart of the agent is kept by `close`, too.
    """

    kind: Literal["bpf"] = "bpf"

    def __init__(self) -> None:
        self.attached: tuple[tuple[str, ...], str] | None = None
        self.mine: dict[int, Endpoint] = {}
        self.trusted = False
        self.broken = False
        self.closed = False
        self._relays: dict[Endpoint, IPv4Address | None] = {}
        self._counters: dict[str, int] = {}
        self._reported: dict[Endpoint, float] = {}
        self._told: set[tuple[EventKind, int]] = set()
        self._events: list[PacketEvent] = []
        self._readable = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    # packets -----------------------------------------------------------------

    def learn(self, index: int, endpoint: Endpoint) -> None:
        """This node sent a handshake message with its `index` to `endpoint`."""
        self.mine[index] = endpoint

    def data(
        self, index: int, endpoint: Endpoint, at: float
    ) -> IPv4Address | Literal["here"] | None:
        """A data packet came: passed to WireGuard here, relayed to a node, or dropped."""
        if index in self.mine:
            self._count("own")
            self._once(EventKind.FIRST, index, endpoint, at)
            return "here"
        if endpoint not in self._relays:
            self._count("unknown")
            return "here"  # WireGuard drops it
        self._count("foreign")
        self._foreign(endpoint, at)
        owner = self._relays[endpoint]
        if owner is None or not self.trusted:
            return None
        self._count("relayed")
        return owner

    def relayed(self, index: int) -> bool:
        """A packet came from another node: is it for a session here? Else it is dropped."""
        ours = index in self.mine
        self._count("delivered" if ours else "refused")
        return ours

    def answer(self, index: int, endpoint: Endpoint, at: float) -> None:
        """A handshake response came."""
        if index in self.mine:
            self._once(EventKind.ANSWERED, index, endpoint, at)

    # the edge ------------------------------------------------------------------

    def ensure(self, uplinks: Sequence[str], fabric: str) -> bool:
        self._intact()
        wanted = (tuple(uplinks), fabric)
        changed, self.attached = self.attached != wanted, wanted
        return changed

    def held(self) -> bool:
        return self.attached is not None

    def put_relays(self, relays: Mapping[Endpoint, IPv4Address | None]) -> None:
        self._intact()
        self._relays.update(relays)

    def remove_relays(self, endpoints: Iterable[Endpoint]) -> None:
        self._intact()
        for endpoint in endpoints:
            self._relays.pop(endpoint, None)

    def relays(self) -> dict[Endpoint, IPv4Address | None]:
        self._intact()
        return dict(self._relays)

    def forget(self, endpoints: Iterable[Endpoint]) -> None:
        self._intact()
        gone = set(endpoints)
        self.mine = {index: at for index, at in self.mine.items() if at not in gone}

    def trust(self, on: bool) -> None:
        self._intact()
        self.trusted = on

    def fileno(self) -> int:
        return self._readable

    def drain(self) -> list[PacketEvent]:
        events, self._events = self._events, []
        if events:
            os.eventfd_read(self._readable)
        return events

    def counters(self) -> PathCounters:
        self._intact()
        return PathCounters(**self._counters)

    def close(self) -> None:
        if not self.closed:
            os.close(self._readable)
        self.closed = True

    def remove(self) -> None:
        self._intact()
        self.attached, self._relays, self.mine = None, {}, {}

    def report(self, event: PacketEvent) -> None:
        """Put an event in the ring, whatever the rate limits say."""
        self._count("reported")
        if not self._events:
            os.eventfd_write(self._readable, 1)
        self._events.append(event)

    def _foreign(self, endpoint: Endpoint, at: float) -> None:
        last = self._reported.get(endpoint)
        if last is not None and at - last < 1.0:
            self._count("suppressed")
            return
        self._reported[endpoint] = at
        self.report(PacketEvent(EventKind.FOREIGN, endpoint, at))

    def _once(self, kind: EventKind, index: int, endpoint: Endpoint, at: float) -> None:
        if (kind, index) not in self._told:
            self._told.add((kind, index))
            self.report(PacketEvent(kind, endpoint, at))

    def _count(self, what: str) -> None:
        self._counters[what] = self._counters.get(what, 0) + 1

    def _intact(self) -> None:
        if self.broken:
            raise PathError("the fake packet path is broken")
