"""Tells the control plane how the node is and what happened on it.

Both calls return at once: the newest report replaces one that was not sent yet, events
wait in a bounded queue. Delivery is at least once; the control plane stores an event
that comes twice once.
"""

from __future__ import annotations

import asyncio
from collections import deque

import aiohttp
import structlog

from anycastle.agent import calls
from anycastle.agent.calls import Backoff, Refused
from anycastle.agent.identity import Identity, IdentityError
from anycastle.model import codec
from anycastle.model.node import ControlEndpoint
from anycastle.model.status import Event, NodeReport

QUEUE = 10_000
BATCH = 500
TIMEOUT = aiohttp.ClientTimeout(total=15, connect=5)

log = structlog.get_logger()


class ControlClient:
    """dropped: events lost because the control plane was away for too long, or refused
    them. problem: why the last attempt failed, empty when it did not."""

    def __init__(self, control: ControlEndpoint, identity: Identity) -> None:
        self._urls = deque(control.urls)
        self._identity = identity
        self._report: NodeReport | None = None
        self._events: deque[Event] = deque()
        self._work = asyncio.Event()
        self.dropped = 0
        self.problem = ""

    @property
    def waiting(self) -> int:
        """Events that were not sent yet."""
        return len(self._events)

    def report(self, report: NodeReport) -> None:
        self._report = report
        self._work.set()

    def event(self, event: Event) -> None:
        if len(self._events) >= QUEUE:
            self._events.popleft()
            self.dropped += 1
        self._events.append(event)
        self._work.set()

    async def run(self) -> None:
        """Send for life; raises nothing but cancellation."""
        backoff = Backoff(0.2, 10.0)
        while True:
            await self._work.wait()
            await self._identity.wait_ready()
            try:
                await self._drain()
                backoff.reset()
                self._note("")
            except (IdentityError, Refused, *calls.FAILURES) as error:
                self._note(calls.explain(error))
                self._urls.rotate(-1)
                self._work.set()
                await asyncio.sleep(backoff.pause())

    async def _drain(self) -> None:
        """Send all there is, over one connection while there is more."""
        connector = aiohttp.TCPConnector(ssl=self._identity.ssl_context(), keepalive_timeout=60)
        async with aiohttp.ClientSession(connector=connector, timeout=TIMEOUT) as session:
            context = self._identity.ssl_context()
            while self._identity.ssl_context() is context:
                self._work.clear()
                await self._send_report(session)
                await self._send_events(session)
                self._note("")
                await self._work.wait()

    async def _send_report(self, session: aiohttp.ClientSession) -> None:
        report = self._report
        if report is None:
            return
        await self._post(session, "/v1/agent/report", codec.to_json(report))
        if self._report is report:
            self._report = None

    async def _send_events(self, session: aiohttp.ClientSession) -> None:
        while self._events:
            batch = [self._events.popleft() for _ in range(min(BATCH, len(self._events)))]
            try:
                if not await self._post(session, "/v1/agent/events", codec.to_json(batch)):
                    self.dropped += len(batch)
            except BaseException:
                self._put_back(batch)
                raise

    async def _post(self, session: aiohttp.ClientSession, path: str, body: bytes) -> bool:
        """False when the control plane finds the request itself at fault."""
        async with session.post(self._urls[0] + path, data=body) as response:
            try:
                await calls.check(response)
            except Refused as error:
                if not error.is_final:
                    raise
                log.warning("control.refused", path=path, reason=str(error))
                return False
        return True

    def _put_back(self, batch: list[Event]) -> None:
        room = QUEUE - len(self._events)
        kept = batch[-room:] if room > 0 else []
        self.dropped += len(batch) - len(kept)
        self._events.extendleft(reversed(kept))

    def _note(self, problem: str) -> None:
        if problem and problem != self.problem:
            log.warning("control.unreachable", url=self._urls[0], reason=problem)
        self.problem = problem
