"""Joins the takeover's core (`takeover.takeover`) to the node.

What happens goes in: packets, routes, sessions, clients, time. What comes out are plans,
which are carried out beside the loop (`plans`).

The packet path is opened when the data path below it is made, and looked at again after
each reconcile: links that were made anew have lost their programs. After each opening, and
after any failure, what it holds is compared with what it should. It may relay once the
sessions that are here are known: before, it would send their packets away.

A packet path that does not work costs takeovers and relays, and nothing else. Where none can
be had, or another one is configured, one is chosen again (`takeover.reopening`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterable

import structlog

from anycastle.agent.datapath import PathNews
from anycastle.agent.desired import uplinks
from anycastle.agent.health.probes import clock
from anycastle.agent.inbox import (
    Inbox,
    PacketsCame,
    PathFailed,
    PathSeen,
    RelaysSeen,
    TakeoverDue,
    TookOver,
)
from anycastle.agent.jobs import Job, jittered
from anycastle.agent.plans import Plans
from anycastle.agent.sessions import Outcome
from anycastle.agent.state import State
from anycastle.agent.takeover.clock import complaint
from anycastle.agent.takeover.pacer import BACKLOG
from anycastle.agent.takeover.path import EventKind, PacketEvent, PacketPath, PathError
from anycastle.agent.takeover.plan import Plan
from anycastle.agent.takeover.reopening import Reopening
from anycastle.agent.takeover.takeover import Takeover
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.client import Client
from anycastle.model.status import NodeState

ATTEND = 10.0
"""Seconds between two looks at the packet path, which bring its counters too."""
RETRY = 5.0
"""Seconds until a packet path that could not be had is tried again."""
SPACING = 0.3
"""Seconds between two looks at least."""
HINTED = 0.25
"""Seconds for which a hint makes WireGuard be sampled at once: a packet is seen before
WireGuard has understood it."""
OFF = "takeover is switched off"

log = structlog.get_logger()


class TakingOver:
    """Runs in the loop's thread. start: runs work beside the loop. hurry: have WireGuard
    sampled at once, and again until the given monotonic time."""

    def __init__(
        self,
        state: State,
        inbox: Inbox,
        start: Callable[[Coroutine[object, object, None]], None],
        hurry: Callable[[float], None],
    ) -> None:
        self._state = state
        self._inbox = inbox
        self._start = start
        self._hurry = hurry
        self._core: Takeover | None = None
        self._path: PacketPath | None = None
        self._reopening = Reopening()
        self._trusted = False
        self._stale = False
        self._plans = Plans(state, inbox, start)
        self._hints: dict[Endpoint, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.job = Job(self._attend, SPACING)

    # what happens ----------------------------------------------------------

    def configured(self) -> None:
        """The data path was reconciled: its devices exist, and may be new ones."""
        if self._core is None:
            self._begin()
        self.job.poke()

    def _begin(self) -> None:
        """WireGuard's kind is known now, and with it how much it takes."""
        state, now, wall = self._state, time.monotonic(), time.time()
        own, kind = state.spec.loopbacks.v4, state.edges.data_path.kind
        self._core = core = Takeover(own, BACKLOG[kind])
        state.takeover.counts = core.counts
        plan = core.replace_clients(state.cache.clients.values(), now, wall)
        for owned in state.sessions.owned.values():
            plan.merge(
                core.confirmed(owned.client.id, owned.endpoint, owned.confirmed_at, now, wall)
            )
        self._do(plan)
        self.look_at_clock()

    def clients(self, put: Iterable[Client], remove: Iterable[str]) -> None:
        """Clients came, changed, or (ids) went."""
        if self._core is not None:
            self._do(self._core.clients(put, remove, time.monotonic(), time.time()))

    def replace_clients(self, clients: Iterable[Client]) -> None:
        """All clients, from a snapshot."""
        if self._core is not None:
            self._do(self._core.replace_clients(clients, time.monotonic(), time.time()))

    def route_learned(self, prefix: Network) -> None:
        """Another node's route to a client came, changed or went."""
        if self._core is not None:
            best = next(iter(self._state.edges.speaker.others(prefix)), None)
            self._do(self._core.route(prefix, best, time.monotonic(), time.time()))

    def look_at_announcers(self) -> None:
        """Who announces may have changed, this node included."""
        if self._core is None:
            return
        state, machine = self._state, self._state.machine
        plan = self._core.announcers(
            state.edges.speaker.announcers(),
            own=machine.announcing and machine.state is NodeState.UP,
            peers=state.settings.peers,
            datacentre=state.spec.datacentre,
            now=time.monotonic(),
            wall=time.time(),
        )
        self._do(plan)

    def judged(self, outcome: Outcome) -> None:
        """Sessions were won or lost here; BGP has been told."""
        if self._core is None:
            return
        now, wall = time.monotonic(), time.time()
        for owned, moved in outcome.lost:
            self._do(self._core.lost(owned.client.id, now, wall, moved=moved))
        for owned in outcome.confirmed:
            self._hints.pop(owned.endpoint, None)
            self._do(
                self._core.confirmed(owned.client.id, owned.endpoint, owned.confirmed_at, now, wall)
            )

    def sampled(self) -> None:
        """WireGuard was looked at: what is here is known, and hints may be settled."""
        now = time.monotonic()
        self._hints = {endpoint: until for endpoint, until in self._hints.items() if until > now}
        self._hurry(max(self._hints.values(), default=0.0))
        self._trust()

    def look_at_clock(self) -> None:
        """The clock is looked at as often as the probes look."""
        if self._core is None:
            return
        reason = OFF
        if self._state.spec.takeover.enabled:
            reason = complaint(clock.read(), self._state.spec.health.clock)
        self._state.takeover.clock = reason
        self._do(self._core.clock(reason, time.monotonic(), time.time()))

    def due(self, _: TakeoverDue) -> None:
        """A moment that the core waited for has come."""
        self._timer = None
        if self._core is not None:
            self._do(self._core.tick(time.monotonic(), time.time()))

    # packets ---------------------------------------------------------------

    def packets(self, notice: PacketsCame) -> None:
        """The packet path saw something."""
        if self._core is None:
            return
        now, wall, plan = time.monotonic(), time.time(), Plan()
        for event in notice.events:
            if event.kind is EventKind.FOREIGN or self._is_news(self._core, event):
                plan.merge(self._core.packet(event, now, wall))
                if event.kind is not EventKind.FOREIGN:
                    self._hints[event.endpoint] = now + HINTED
        self._do(plan)

    @staticmethod
    def _is_news(core: Takeover, event: PacketEvent) -> bool:
        """Not the re-keying of a session that is here."""
        row = core.table.at(event.endpoint)
        return row is None or row.own is None or row.own.endpoint != event.endpoint

    def _readable(self) -> None:
        if self._path is not None and (events := self._path.drain()):
            self._inbox.put(PacketsCame(events))

    # the packet path -------------------------------------------------------

    async def _attend(self) -> float:
        """Have the packet path, and have it attached; or have none."""
        state = self._state
        if not state.spec.takeover.enabled:
            self._inbox.put(PathSeen(None))
            return ATTEND
        if self._core is None:
            return ATTEND
        spec, data_path = state.spec, state.edges.data_path
        try:
            if self._reopening.due(spec.takeover, time.monotonic()):
                self._listen(None)
                await data_path.let_go_of_path()
            news = await data_path.attend_path(uplinks(spec), spec.fabric.device)
        except PathError as error:
            self._inbox.put(PathFailed(str(error)))
            return RETRY
        if news.opened:
            self._reopening.opened(spec.takeover, news.path.kind, time.monotonic())
        self._inbox.put(PathSeen(news))
        return jittered(ATTEND)

    async def _remove(self) -> None:
        try:
            await self._state.edges.data_path.remove_path()
        except PathError as error:
            self._inbox.put(PathFailed(str(error)))

    def path_seen(self, notice: PathSeen) -> None:
        """The packet path is there, and attached; or there is to be none."""
        news, told = notice.news, self._state.takeover
        if news is None:
            if told.path != "off":
                self._listen(None)
                self._start(self._remove())
            told.path = "off"
            return
        if news.path is not self._path:
            self._listen(news.path)
            self._stale = True
        told.path, told.counters = _name(news), news.counters
        self._note(news)
        if news.attached:
            # What WireGuard began meanwhile was not seen: it may relay again when its
            # relays are known to be right.
            self._trusted = False
            log.info("packet path attached", path=told.path)
        if self._stale or news.attached:
            self._start(self._compare())

    def path_failed(self, notice: PathFailed) -> None:
        """There is none, or it could not be attached: told once, tried again."""
        told = self._state.takeover
        self._complain(notice.reason)
        if self._path is None:
            kind = "none" if self._state.spec.takeover.enabled else "off"
            told.path = f"{kind}: {notice.reason}"
        # It may have been attached in part, and then it relays nothing until told so again.
        self._stale, self._trusted = True, False

    def _note(self, news: PathNews) -> None:
        """It is there and attached; but there may be none at all."""
        told = self._state.takeover
        if news.path.kind == "none":
            if news.opened:
                self._complain(told.path)
        elif told.problem:
            told.problem = ""
            self._state.emit("takeover.restored", f"packet path: {told.path}")

    def _complain(self, reason: str) -> None:
        told = self._state.takeover
        if reason != told.problem:
            self._state.emit("takeover.failed", reason)
        told.problem = reason
        self._state.metrics.errors.labels("takeover").inc()

    def _listen(self, path: PacketPath | None) -> None:
        loop = asyncio.get_running_loop()
        if self._path is not None:
            loop.remove_reader(self._path)
        self._path, self._trusted = path, False
        if path is not None:
            loop.add_reader(path, self._readable)

    async def _compare(self) -> None:
        try:
            self._inbox.put(RelaysSeen(await self._state.edges.data_path.relays()))
        except PathError as error:
            self._inbox.put(PathFailed(str(error)))

    def relays_seen(self, notice: RelaysSeen) -> None:
        """What the packet path holds, to be brought in line."""
        if self._core is None or self._path is None:
            return
        self._stale = False
        self._do(self._core.resync(notice.relays, time.monotonic(), time.time()))
        self._trust()

    def _trust(self) -> None:
        """Let it relay, once its relays are right and the sessions that are here known."""
        known = self._state.has_snapshot and self._state.around.sampled_at is not None
        if known and self._path is not None and not self._trusted and not self._stale:
            self._trusted = True
            self._plans.trust()

    # carrying out ----------------------------------------------------------

    def _do(self, plan: Plan) -> None:
        """What needs no kernel at once, the rest in its turn."""
        state = self._state
        for event in plan.events:
            state.emit(event.kind, event.message, client=event.client, **event.data)
        for measured in plan.observed:
            state.metrics.takeover.observe(measured.result, measured.seconds)
        if plan.sample:
            self._hurry(time.monotonic() + HINTED)
        plan.events, plan.observed, plan.sample = [], [], False
        if plan:
            self._plans.add(plan)
        self._wake_in_time()

    def took_over(self, notice: TookOver) -> None:
        """Plans were carried out, perhaps in part."""
        if gone := self._state.sessions.restarted(notice.restarted).withdraw:
            self._state.edges.speaker.withdraw_clients(gone)
        if notice.errors:
            self._state.metrics.errors.labels("takeover").inc(len(notice.errors))
            log.warning("takeover failed in part", reason=notice.errors[0], n=len(notice.errors))
            self._stale = True
            self.job.poke()
        self._plans.carried_out()

    def _wake_in_time(self) -> None:
        at = self._core.next_tick() if self._core is not None else None
        if at is None:
            return
        # Both clocks are the monotonic one.
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(at, self._inbox.put, TakeoverDue())

    def close(self) -> None:
        """Listen no more; the packet path goes on relaying."""
        if self._timer is not None:
            self._timer.cancel()
        self._listen(None)


def _name(news: PathNews) -> str:
    reason = getattr(news.path, "reason", "")
    return f"{news.path.kind}: {reason}" if reason else news.path.kind
