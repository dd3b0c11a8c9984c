"""Wakes many waiters at once, without a queue for each."""

from __future__ import annotations

import asyncio


class Bell:
    """Take `next()` before you look at the state, and wait for it after: so a ring in
    between is not missed."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Set at the next ring."""
        return self._event

    def ring(self) -> None:
        event, self._event = self._event, asyncio.Event()
        event.set()


async def wait(event: asyncio.Event, seconds: float) -> bool:
    """True when it was set in time."""
    try:
        async with asyncio.timeout(seconds):
            return await event.wait()
    except TimeoutError:
        return False
