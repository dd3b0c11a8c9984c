"""Work that is done again and again, each piece in a task of its own."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable


class Job:
    """Runs `work` for life. It returns the seconds until its next run; `poke` makes the
    next run start at once, or `spacing` seconds after the present one."""

    def __init__(self, work: Callable[[], Awaitable[float]], spacing: float = 0.0) -> None:
        self._work = work
        self._spacing = spacing
        self._poked = asyncio.Event()

    def poke(self) -> None:
        self._poked.set()

    async def run(self) -> None:
        while True:
            self._poked.clear()
            pause = await self._work()
            await asyncio.sleep(self._spacing)
            # Not wait_for: in Python 3.11 it swallows a cancellation that comes together
            # with what it waits for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._poked.wait()


def jittered(seconds: float) -> float:
    """Between three quarters and five quarters of it, so that nodes do not march in step."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 nothing secret
