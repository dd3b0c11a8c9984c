"""Follows the control feed: connect, resume by revision, hand frames on, and again.

A stream that is silent for DEAD seconds (three heartbeats) is taken for dead. Whatever
breaks it, the next URL is tried after a pause with jitter; what was missed comes first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import cycle
from typing import NamedTuple

import aiohttp
import structlog

from anycastle.agent import calls
from anycastle.agent.calls import Backoff, Refused
from anycastle.agent.frames import FeedError, Position, Reader, follow
from anycastle.agent.identity import Identity, IdentityError
from anycastle.model.feed import Change, Snapshot
from anycastle.model.node import ControlEndpoint

DEAD = 15.0
CONNECT = 5.0
SHORTEST, LONGEST = 0.2, 10.0
STABLE = 10.0
"""A connection that lived for so long proves the control plane good: pauses start small."""

log = structlog.get_logger()


class FeedState(NamedTuple):
    """detail: why it is not connected, empty when it is."""

    connected: bool
    url: str
    revision: int
    detail: str


OnState = Callable[[FeedState], None]


class Feed:
    """heard_at: time.monotonic() of the last frame, 0.0 before the first."""

    def __init__(
        self, control: ControlEndpoint, identity: Identity, position: Position | None
    ) -> None:
        self._urls = control.urls
        self._identity = identity
        self._position = position
        self._joins = identity.joins
        self._backoff = Backoff(SHORTEST, LONGEST)
        self.connected = False
        self.heard_at = 0.0

    @property
    def revision(self) -> int:
        """Of the last frame that was handed on; 0 before the first."""
        return self._position.revision if self._position else 0

    async def run(
        self,
        on_snapshot: Callable[[Snapshot], None],
        on_change: Callable[[Change], None],
        on_state: OnState,
    ) -> None:
        """Follow until cancelled. An exception of a callback ends it, nothing else does."""
        for url in cycle(self._urls):
            await self._identity.wait_ready()
            if self._identity.joins != self._joins:
                # What it knew may be of before it was forgotten: all of it comes anew.
                self._joins, self._position = self._identity.joins, None
            started = time.monotonic()
            try:
                await self._follow(url, on_snapshot, on_change, on_state)
                detail = "the control plane ended the feed"
            except FeedError as error:
                self._position = None
                detail = f"{error}; asking for a snapshot"
            except (IdentityError, Refused, *calls.FAILURES) as error:
                detail = calls.explain(error)
            self.connected = False
            log.warning("feed.lost", url=url, revision=self.revision, reason=detail)
            on_state(FeedState(False, url, self.revision, detail))
            if time.monotonic() - started > STABLE:
                self._backoff.reset()
            await asyncio.sleep(self._backoff.pause())

    async def _follow(
        self,
        url: str,
        on_snapshot: Callable[[Snapshot], None],
        on_change: Callable[[Change], None],
        on_state: OnState,
    ) -> None:
        timeout = aiohttp.ClientTimeout(total=None, connect=CONNECT, sock_read=DEAD)
        connector = aiohttp.TCPConnector(ssl=self._identity.ssl_context())
        reader = Reader()
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
            session.get(f"{url}/v1/agent/feed", params=self._parameters()) as response,
        ):
            await calls.check(response)
            async for data in response.content.iter_any():
                for frame in reader.feed(data):
                    self._position = follow(self._position, frame)
                    self.heard_at = time.monotonic()
                    if isinstance(frame, Snapshot):
                        on_snapshot(frame)
                    elif isinstance(frame, Change):
                        on_change(frame)
                    if not self.connected:
                        self._note_connected(url, on_state)

    def _note_connected(self, url: str, on_state: OnState) -> None:
        self.connected = True
        log.info("feed.connected", url=url, revision=self.revision)
        on_state(FeedState(True, url, self.revision, ""))

    def _parameters(self) -> dict[str, str]:
        if self._position is None:
            return {}
        return {"revision": str(self._position.revision), "epoch": self._position.epoch}
