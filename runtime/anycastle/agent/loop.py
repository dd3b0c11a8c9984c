"""The one loop that owns the node's state.

Everything that happens comes as a notice through the inbox and is handled here, one at a
time, at once: handlers change the state, tell the BGP speaker, and start work; they never
wait. What takes time (kernel, routing daemon, probes) is done by the jobs of `work`, whose
results come back as notices. A periodic reconcile heals whatever an event missed.

Order of a start: state from disk, data path, daemon, BGP sessions, probes, announcement.
Order of a stop: demote, withdraw, wait for the sessions to move, end; the data path stays
as it is.

A handler or a job that fails unexpectedly ends the agent: its BGP session dies with it,
which withdraws the node, and systemd starts it again with a clean mind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from anycastle.agent import settings as settings_files
from anycastle.agent import systemd
from anycastle.agent.apply import ApplyResult
from anycastle.agent.desired import uplinks
from anycastle.agent.diff import change_operations
from anycastle.agent.draining import STOP_LIMIT
from anycastle.agent.health import machine as states
from anycastle.agent.health.probes import device
from anycastle.agent.inbox import (
    Applied,
    FeedChanged,
    FrameCame,
    Inbox,
    KernelChanged,
    Notice,
    OthersChanged,
    PacketsCame,
    PathFailed,
    PathSeen,
    RelaysSeen,
    ReloadAsked,
    RoundEnded,
    RouteLearned,
    RoutingLoaded,
    RoutingSeen,
    Sampled,
    StopAsked,
    TakeoverDue,
    TimePassed,
    TookOver,
)
from anycastle.agent.leaving import Leaving
from anycastle.agent.links import flags
from anycastle.agent.sessions import Outcome
from anycastle.agent.settings import SettingsError
from anycastle.agent.state import State
from anycastle.agent.taking_over import TakingOver
from anycastle.agent.wireguard.edge import PutPeer, RemovePeer
from anycastle.agent.work import Work
from anycastle.model.feed import Change, Snapshot

STUCK = 5.0
"""Seconds without a handled notice after which the loop counts as dead."""

WATCHDOG = 1.0
"""Seconds between two signs of life for systemd."""

log = structlog.get_logger()


class Loop:
    """Runs a node. The inbox is where everybody else leaves notices."""

    def __init__(self, state: State, inbox: Inbox) -> None:
        self.state = state
        self._inbox = inbox
        self._work = Work(state, inbox)
        self._taking_over = taking = TakingOver(state, inbox, self._start, self._work.hurry)
        self._group = asyncio.TaskGroup()
        self._leaving = Leaving()
        self._may_speak = asyncio.Event()
        self._stopping = False
        self._done = False
        self._links: tuple[object, ...] = ()
        self._established: dict[str, bool] = {}
        self._clients_complete = False
        self._rounds_until_configured = 0
        self._watched_at = 0.0
        self._handlers = self._all_handlers() | {
            PacketsCame: taking.packets,
            PathSeen: taking.path_seen,
            PathFailed: taking.path_failed,
            RelaysSeen: taking.relays_seen,
            TookOver: taking.took_over,
            TakeoverDue: taking.due,
        }

    async def run(self) -> None:
        """Until a StopAsked has been carried out."""
        async with self._group:
            jobs = (*self._work.jobs, self._taking_over.job)
            tasks = [self._group.create_task(job.run()) for job in jobs]
            tasks.append(self._group.create_task(self._speak()))
            while not self._done:
                notice, waited = await self._inbox.get()
                self.state.metrics.lag.observe(waited)
                self._handle(notice)
                self._show_life()
            self._taking_over.close()
            for task in tasks:
                task.cancel()
        await self._work.close()

    def _show_life(self) -> None:
        self.state.handled_at = time.monotonic()
        if self.state.handled_at - self._watched_at > WATCHDOG:
            self._watched_at = self.state.handled_at
            systemd.notify("WATCHDOG=1")

    def stuck(self) -> str:
        """Why the loop counts as dead, "" when it lives."""
        age = time.monotonic() - self.state.handled_at
        return f"the loop handled nothing for {age:.0f} s" if age > STUCK else ""

    def _handle(self, notice: Notice) -> None:
        handler = self._handlers[type(notice)]
        handler(notice)
        self._follow_drain()

    def _all_handlers(self) -> dict[type[Notice], Callable[[Any], None]]:
        """The one place that says what follows from what."""
        return {
            FrameCame: self._frame_came,
            FeedChanged: self._feed_changed,
            RouteLearned: self._route_learned,
            OthersChanged: self._look_again,
            KernelChanged: self._kernel_changed,
            Applied: self._applied,
            Sampled: self._sampled,
            RoundEnded: self._round_ended,
            RoutingLoaded: self._routing_loaded,
            RoutingSeen: self._routing_seen,
            ReloadAsked: self._reload,
            StopAsked: self._stop,
            TimePassed: self._look_again,
        }

    # feed ------------------------------------------------------------------

    def _frame_came(self, notice: FrameCame) -> None:
        if isinstance(notice.frame, Snapshot):
            self._take_snapshot(notice.frame)
        else:
            self._take_change(notice.frame)

    def _take_snapshot(self, snapshot: Snapshot) -> None:
        self.state.cache.put(snapshot)
        self._publish(self.state.sessions.replace_all(snapshot.clients, time.time()))
        self._taking_over.replace_clients(snapshot.clients)
        self._obey()
        self._work.converge.poke()

    def _take_change(self, change: Change) -> None:
        operations = change_operations(self.state.cache.clients, change, time.time())
        self.state.cache.put(change)
        self._publish(self.state.sessions.remove(change.remove, time.time()))
        self._publish(self.state.sessions.enrol(change.put, time.time()))
        self._taking_over.clients(change.put, change.remove)
        if change.nodes:
            self._obey()
        self._start(self._work.change(operations, change.revision))

    def _obey(self) -> None:
        """Leave service, or come back, if that is what operators want now."""
        state = self.state
        order = state.cache.orders.get(state.spec.name)
        if state.draining.order(order, time.monotonic(), time.time()):
            log.info("order changed", drain=state.draining.reason)
            self._leave()
            self._work.report.poke()

    def _leave(self) -> None:
        self._step()
        self._look_later(states.DRAIN_WAIT)

    def _look_later(self, seconds: float) -> None:
        # A little later than the time itself, so that it is over then.
        later = seconds + 0.01
        asyncio.get_running_loop().call_later(later, self._inbox.put, TimePassed())

    def _follow_drain(self) -> None:
        """Tell when a drain is over; end when nothing is left to wait for."""
        state, sessions = self.state, len(self.state.sessions.owned)
        if (status := state.drain_status()) and (
            news := state.draining.news(status.phase, sessions, time.monotonic())
        ):
            state.emit("node.drained", news, sessions=sessions, phase=status.phase.value)
            self._work.report.poke()
        if self._stopping:
            self._done |= state.draining.may_end(
                time.monotonic(),
                announcing=state.machine.announcing,
                sessions=sessions,
                alone=not state.edges.speaker.announcers(),
            )

    def _feed_changed(self, notice: FeedChanged) -> None:
        was, self.state.feed = self.state.feed, notice.state
        if was.connected == notice.state.connected:
            return
        kind = "feed.connected" if notice.state.connected else "feed.disconnected"
        message = f"{notice.state.url}: {notice.state.detail or 'connected'}"
        self.state.emit(kind, message, revision=notice.state.revision)

    # sessions --------------------------------------------------------------

    def _sampled(self, notice: Sampled) -> None:
        around = self.state.around
        around.samples, around.sampled_at = notice.samples, time.monotonic()
        self.state.metrics.sample_seconds.set(notice.seconds)
        self._publish(self.state.sessions.sampled(notice.samples, time.time()))
        self._taking_over.sampled()
        self._work.judging = time.monotonic() - around.sampled_at
        if self.state.has_snapshot and not self._clients_complete:
            # The daemon may now forget what the previous agent announced and we did not.
            self._clients_complete = True
            self.state.edges.speaker.clients_complete()
        self._end_grace()

    def _end_grace(self) -> None:
        """Clients that moved elsewhere a little while ago are forgotten now."""
        if due := self.state.sessions.resets_due(time.time()):
            self._publish(self.state.sessions.leave(client.id for client in due))
            self._start(self._work.reset(due))

    def _route_learned(self, notice: RouteLearned) -> None:
        self._taking_over.route_learned(notice.prefix)
        self._publish(self.state.sessions.learned(notice.prefix, time.time()))

    def _publish(self, outcome: Outcome) -> None:
        if outcome.withdraw:
            self.state.edges.speaker.withdraw_clients(outcome.withdraw)
        if outcome.announce:
            self.state.edges.speaker.announce_clients(outcome.announce)
        self._taking_over.judged(outcome)
        for event in outcome.events:
            self.state.emit(event.kind, event.message, client=event.client, **event.data)
        if outcome.events:
            self._work.report.poke()

    # health ----------------------------------------------------------------

    def _round_ended(self, notice: RoundEnded) -> None:
        self.state.announcing.results = notice.results
        if self._rounds_until_configured:
            self._rounds_until_configured -= 1
            self.state.configured |= not self._rounds_until_configured
        self._taking_over.look_at_clock()
        self.state.emit.catch_up()
        self._end_grace()
        self._step(round_ended=True)

    def _look_again(self, _: OthersChanged | TimePassed) -> None:
        self._step()

    def _step(self, *, round_ended: bool = False, fatal: str = "") -> None:
        established = dict(self.state.edges.speaker.established)
        if established != self._established:
            self._established = self.state.around.sessions = established
            self._work.look.poke()
        self.state.announcing.drain = self.state.draining.reason
        self.state.announcing.forced = self.state.draining.forced
        changed = self.state.announcing.step(
            self.state.unable(), round_ended=round_ended, fatal=fatal
        )
        if changed:
            self._work.report.poke()
            systemd.notify(f"STATUS={self.state.machine.state.value}")
        self._taking_over.look_at_announcers()

    def _kernel_changed(self, _: KernelChanged) -> None:
        spec = self.state.spec
        # Often enough it was our own apply; then the reconcile finds nothing to do.
        self._work.converge.poke()
        names = (spec.wireguard.device, *uplinks(spec))
        links = tuple(flags(name) for name in names)
        if links == self._links:
            return
        self._links = links
        self._work.look.poke()
        if self.state.configured and (fatal := device.complaint(self.state.around)):
            if links[0] is None:
                self._publish(self.state.sessions.device_gone(time.time()))
            self._step(fatal=f"device: {fatal}")

    # data path and daemon --------------------------------------------------

    def _applied(self, notice: Applied) -> None:
        state, errors = self.state, notice.errors
        if notice.result is not None:
            if notice.kind == "reconcile":
                self._taking_over.configured()
            state.metrics.applied(notice.kind, notice.result)
            held = notice.kind == "reconcile" and notice.revision is not None
            if held and _usable(notice.result):
                self._configured(flawless=not errors)
        if errors:
            if errors != state.around.apply_errors:
                self.state.emit("apply.failed", errors[0], part=notice.kind, failures=len(errors))
            state.around.apply_errors = errors
            if notice.kind == "change":
                self._work.converge.poke()
            return
        if notice.kind == "reconcile":
            state.around.apply_errors = ()
        if notice.revision is not None:
            state.revision = notice.revision
        self._work.report.poke()

    def _configured(self, *, flawless: bool) -> None:
        """Flawed, it counts when the probes have had a look at it: of two rounds that end
        from now on, the first may have begun before."""
        if flawless:
            self.state.configured, self._rounds_until_configured = True, 0
        elif not self.state.configured and not self._rounds_until_configured:
            self._rounds_until_configured = 2

    def _routing_loaded(self, notice: RoutingLoaded) -> None:
        problem = notice.problem
        if problem and problem != self.state.routing_problem:
            self.state.emit("apply.failed", problem, part="routing")
            self.state.metrics.errors.labels("routing").inc()
        self.state.routing_problem = problem
        if not problem:
            self._may_speak.set()
            self._work.look.poke()

    def _routing_seen(self, notice: RoutingSeen) -> None:
        self.state.around.routing = notice.state
        self.state.around.routing_at = time.monotonic()
        if not notice.state.running and self.state.configured:
            self._work.converge.poke()
        now = time.monotonic()
        if fewer := self._leaving.ended(self.state.settings, notice.state, now):
            log.info("peers that left fell silent", peers=len(fewer.peers))
            self.state.settings = fewer
            self._work.converge.poke()

    async def _speak(self) -> None:
        await self._may_speak.wait()
        await self.state.edges.speaker.run()

    # reload and stop -------------------------------------------------------

    def _reload(self, _: ReloadAsked) -> None:
        state = self.state
        try:
            new = settings_files.load(state.directory)
        except SettingsError as error:
            self.state.emit("settings.refused", f"{error}; the old settings stay in use")
            state.metrics.errors.labels("settings").inc()
            return
        if changed := settings_files.needs_restart(state.settings, new):
            self._stop(StopAsked(f"restart, for the change of {', '.join(changed)}"))
            return
        log.info("settings reloaded", peers=len(new.peers))
        now = time.monotonic()
        state.settings = self._leaving.reloaded(state.settings, new, state.around.routing, now)
        state.around.spec = new.spec
        state.announcing.rank = new.rank
        state.announcing.adopt(new.spec.health)
        self._taking_over.look_at_clock()
        self._work.converge.poke()

    def _stop(self, notice: StopAsked) -> None:
        log.info("stopping", reason=notice.reason)
        self._done |= self._stopping  # asked twice: at once
        self._stopping = True
        self.state.draining.stop(f"stopping: {notice.reason}", time.monotonic())
        self._leave()
        self._look_later(STOP_LIMIT)

    def _start(self, work: Coroutine[object, object, None]) -> None:
        self._group.create_task(work)


def _usable(result: ApplyResult) -> bool:
    """Does the data path work, if perhaps not for every client?

    A client that no kernel takes would otherwise keep every node of the deployment from
    announcing; like this it is one failing probe, and the rule about the last announcer
    holds.
    """
    return all(isinstance(failure.operation, PutPeer | RemovePeer) for failure in result.failed)
