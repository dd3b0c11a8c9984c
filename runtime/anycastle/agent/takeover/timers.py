"""What has to be looked at later, in order of time. Pure.

Nothing is ever cancelled: who is woken looks for itself whether it is time.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from typing import Generic, TypeVar

What = TypeVar("What")


class Timers(Generic[What]):
    """Monotonic times, each with what it is about."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, What]] = []
        self._number = itertools.count()

    def push(self, at: float, what: What) -> None:
        heapq.heappush(self._heap, (at, next(self._number), what))

    def due(self, now: float) -> Iterator[What]:
        """All whose time has come, oldest first. More may be pushed meanwhile."""
        while self._heap and self._heap[0][0] <= now:
            yield heapq.heappop(self._heap)[2]

    def next(self) -> float | None:
        """When to ask again; None: nothing is waiting."""
        return self._heap[0][0] if self._heap else None

    def __len__(self) -> int:
        return len(self._heap)
