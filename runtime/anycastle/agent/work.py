"""What the loop has done beside it: slow work, one job each, whose results are notices.

Jobs read the node's state and change nothing of it; that is the loop's.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import structlog

from anycastle.agent.apply import ApplyResult
from anycastle.agent.desired import Desired, client_peers, desired
from anycastle.agent.health.probes import probes
from anycastle.agent.health.rounds import Rounds
from anycastle.agent.inbox import (
    Applied,
    Inbox,
    RoundEnded,
    RoutingLoaded,
    RoutingSeen,
    Sampled,
)
from anycastle.agent.jobs import Job, jittered
from anycastle.agent.netlink.edge import NetworkError
from anycastle.agent.routing.driver import Files, RoutingError
from anycastle.agent.state import State
from anycastle.agent.wireguard.edge import DeviceOperation, WireGuardError
from anycastle.model.client import Client

RECONCILE = 30.0
"""Seconds between full reconciles, which heal what an event missed."""
RECONCILE_SPACING = 0.3
"""Seconds between two reconciles at least, whatever the kernel reports."""
RETRY = 1.0
"""Seconds until what failed is tried again."""
SAMPLE_MIN, SAMPLE_MAX = 0.5, 2.0
"""Seconds between samples of WireGuard."""
SAMPLE_SHARE = 50
"""A sample may take one part in so many of the time."""
HINT_SPACING, HINT_SHARE = 0.02, 5
"""The same where a packet said that something happened: seconds between two samples at
least, and the part of the time."""
ROUTING_LOOK = 10.0
"""Seconds between questions to the daemon, which cost a process each."""
ROUTING_LOOK_BAD = 2.0
REPORT = 10.0
REPORT_SPACING = 0.2
"""Seconds between two reports at least."""
REPORT_SESSIONS = 5000
"""Sessions told of in a second at most."""
ROUND_SHARE = 0.9
"""Part of the interval that a round of probes may take."""

log = structlog.get_logger()


class Work:
    """The jobs of a node. Each `Job` is run by the loop, in a task of its own.

    judging: seconds for which the last sample kept the loop.
    """

    def __init__(self, state: State, inbox: Inbox) -> None:
        self._state = state
        self._inbox = inbox
        self._loaded: Files | None = None
        self._hurried_until = 0.0
        self.judging = 0.0
        self._rounds = Rounds(probes(state.around), state.spec.health.interval * ROUND_SHARE)
        self.converge = Job(self._converge, RECONCILE_SPACING)
        self.sample = Job(self._sample)
        self.probe = Job(self._probe)
        self.look = Job(self._look)
        self.report = Job(self._report)

    @property
    def jobs(self) -> Sequence[Job]:
        return self.converge, self.sample, self.probe, self.look, self.report

    async def _converge(self) -> float:
        """Kernel first, then the daemon: its configuration names addresses."""
        state = self._state
        revision = state.cache.position.revision if state.cache.position else None
        # A copy: the clients of this revision, whatever the loop does meanwhile.
        settings, clients = state.settings, dict(state.cache.clients)

        def want() -> Desired:
            key, nodes = settings.service_key, settings.peers
            return desired(settings.spec, key, clients, time.time(), nodes)

        try:
            result = await state.edges.data_path.reconcile(want, keep_peers=revision is None)
        except (WireGuardError, NetworkError) as error:
            self._inbox.put(Applied("reconcile", revision, None, (str(error),)))
            return RETRY
        self._inbox.put(Applied("reconcile", revision, result, _errors(result)))
        if result.failed or not await self._load_routing():
            return RETRY
        return jittered(RECONCILE)

    async def _load_routing(self) -> bool:
        """Give the daemon its configuration, when that changed or it does not run."""
        state = self._state
        files = state.edges.driver.render(state.spec, state.settings.peers)
        running = state.around.routing is not None and state.around.routing.running
        if files == self._loaded and running:
            return True
        try:
            changed = await state.edges.driver.load(files)
        except RoutingError as error:
            self._inbox.put(RoutingLoaded(str(error)))
            return False
        if changed:
            log.info("routing configuration loaded", daemon=state.edges.driver.name)
        self._loaded = files
        self._inbox.put(RoutingLoaded(""))
        return True

    async def change(self, operations: Sequence[DeviceOperation], revision: int) -> None:
        """Carry out what one frame of the feed asks for."""
        try:
            result = await self._state.edges.data_path.change(operations)
        except (WireGuardError, NetworkError) as error:
            self._inbox.put(Applied("change", revision, None, (str(error),)))
            return
        self._inbox.put(Applied("change", revision, result, _errors(result)))

    async def reset(self, clients: Sequence[Client]) -> None:
        """Make WireGuard forget the sessions of clients that moved to another node."""
        now = time.time()
        peers = [peer for client in clients for peer in client_peers(client, now)]
        try:
            await self._state.edges.data_path.reset(peers)
        except WireGuardError as error:
            # The device is gone, and those sessions with it; or the next loss retries.
            log.warning("peers not reset", peers=len(peers), error=str(error))

    async def _sample(self) -> float:
        try:
            samples, seconds = await self._state.edges.data_path.sample()
        except WireGuardError:
            # The probes say it; the reconcile makes the device.
            self._state.metrics.errors.labels("sample").inc()
            return SAMPLE_MIN
        self._inbox.put(Sampled(samples, seconds))
        await asyncio.sleep(max(HINT_SPACING, (HINT_SHARE - 1) * (seconds + self.judging)))
        if time.monotonic() < self._hurried_until:
            return 0.0
        return min(max(SAMPLE_MIN, SAMPLE_SHARE * seconds), SAMPLE_MAX)

    def hurry(self, until: float) -> None:
        """Sample at once, and again and again until then (monotonic); 0.0: no more."""
        self._hurried_until = until
        if until:
            self.sample.poke()

    async def _probe(self) -> float:
        started = time.monotonic()
        self._inbox.put(RoundEnded(await self._rounds.round()))
        return max(0.0, self._state.spec.health.interval - (time.monotonic() - started))

    async def _look(self) -> float:
        seen = await self._state.edges.driver.state()
        self._inbox.put(RoutingSeen(seen))
        edges = [peering for peering in seen.peerings if peering.kind == "edge"]
        healthy = seen.running and all(peering.up for peering in edges)
        return jittered(ROUTING_LOOK if healthy else ROUTING_LOOK_BAD)

    async def _report(self) -> float:
        report = self._state.report()
        self._state.edges.control.report(report)
        await asyncio.sleep(max(REPORT_SPACING, len(report.sessions) / REPORT_SESSIONS))
        return REPORT

    async def close(self) -> None:
        await self._rounds.cancel()


def _errors(result: ApplyResult) -> tuple[str, ...]:
    return tuple(str(failure) for failure in result.failed)
