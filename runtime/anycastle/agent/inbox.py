"""What the loop is told, and the queue in which it waits to be handled, in order."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from anycastle.agent.apply import ApplyResult
from anycastle.agent.datapath import PathNews, Relays
from anycastle.agent.feed import FeedState
from anycastle.agent.health.rounds import Result
from anycastle.agent.routing.driver import RoutingState
from anycastle.agent.takeover.path import PacketEvent
from anycastle.agent.wireguard.edge import PeerSample
from anycastle.model.addresses import Network
from anycastle.model.codec import Key
from anycastle.model.feed import Change, Snapshot


@dataclass(frozen=True, slots=True)
class FrameCame:
    """The feed handed on a snapshot or a change."""

    frame: Snapshot | Change


@dataclass(frozen=True, slots=True)
class FeedChanged:
    state: FeedState


@dataclass(frozen=True, slots=True)
class RouteLearned:
    """Another node's route to this client prefix came, changed or went."""

    prefix: Network


@dataclass(frozen=True, slots=True)
class OthersChanged:
    """Other nodes' announcements of the anycast prefixes, or our sessions, changed."""


@dataclass(frozen=True, slots=True)
class KernelChanged:
    """The kernel reported a change of some link, address or rule; whose, is not known."""


@dataclass(frozen=True, slots=True)
class Applied:
    """kind: `reconcile` or `change`. errors: why the kernel does not hold `revision`;
    that is None where there was no snapshot to hold."""

    kind: str
    revision: int | None
    result: ApplyResult | None
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Sampled:
    """seconds: how long looking took."""

    samples: list[PeerSample]
    seconds: float


@dataclass(frozen=True, slots=True)
class RoundEnded:
    results: Sequence[Result]


@dataclass(frozen=True, slots=True)
class RoutingLoaded:
    """problem: why the daemon does not run with our configuration, "" when it does."""

    problem: str


@dataclass(frozen=True, slots=True)
class RoutingSeen:
    state: RoutingState


@dataclass(frozen=True, slots=True)
class PacketsCame:
    """The packet path saw packets that the takeover has to know of."""

    events: Sequence[PacketEvent]


@dataclass(frozen=True, slots=True)
class PathSeen:
    """The packet path is attached; None: there is to be none."""

    news: PathNews | None


@dataclass(frozen=True, slots=True)
class PathFailed:
    reason: str


@dataclass(frozen=True, slots=True)
class RelaysSeen:
    """What the packet path relays now."""

    relays: Relays


@dataclass(frozen=True, slots=True)
class TookOver:
    """Plans of the takeover were carried out. restarted: peers that begin from nothing."""

    restarted: Sequence[Key]
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TakeoverDue:
    """A moment that the takeover waited for has come."""


@dataclass(frozen=True, slots=True)
class ReloadAsked:
    """The files of /etc/anycastle may have changed (SIGHUP)."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Leave service in good order, then end (SIGTERM)."""

    reason: str


@dataclass(frozen=True, slots=True)
class TimePassed:
    """A moment that something waited for has come."""


Notice = (
    FrameCame
    | FeedChanged
    | RouteLearned
    | OthersChanged
    | KernelChanged
    | Applied
    | Sampled
    | RoundEnded
    | RoutingLoaded
    | RoutingSeen
    | PacketsCame
    | PathSeen
    | PathFailed
    | RelaysSeen
    | TookOver
    | TakeoverDue
    | ReloadAsked
    | StopAsked
    | TimePassed
)


class Inbox:
    """Notices with the time of their arrival. `put` is for the event loop's thread."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[float, Notice]] = asyncio.Queue()

    def put(self, notice: Notice) -> None:
        self._queue.put_nowait((time.monotonic(), notice))

    async def get(self) -> tuple[Notice, float]:
        """The next notice, and the seconds for which it waited."""
        at, notice = await self._queue.get()
        return notice, time.monotonic() - at
