"""What happens on the node, for the journal, the metrics and the control plane.

Events about single clients come by the thousand when a node dies. Of each such kind
BURST are told at once and RATE a second after that; how many more there were is told
when there is room again. Metrics count them all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog

from anycastle.agent.metrics import Metrics
from anycastle.model.status import Event

QUIET = ("feed.connected", "feed.disconnected")
JOURNAL_ONLY = ("takeover.started",)
"""Nothing has come of it yet."""
MANY = ("session.", "takeover.")
"""Beginnings of the kinds of which there may be thousands."""
BURST, RATE = 100, 50.0
"""Events of such a kind: at once, and per second in the long run."""

log = structlog.get_logger()


class Ear(Protocol):
    """Who passes events on to the control plane (`control_client.ControlClient`)."""

    def event(self, event: Event) -> None: ...


@dataclass(slots=True)
class _Bucket:
    """Room for so many events, as of `at` (monotonic). held_back: since there was none."""

    room: float
    at: float
    held_back: int = 0


class Emitter:
    """Call it with the event's kind and a sentence for people.

    client: its name. data: details for programs; plain values only. A kind in QUIET
    has been logged by who noticed it.
    """

    def __init__(
        self, ear: Ear, metrics: Metrics, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._ear = ear
        self._metrics = metrics
        self._now = now
        self._buckets: dict[str, _Bucket] = {}

    def __call__(
        self, kind: str, message: str, *, client: str | None = None, **data: object
    ) -> None:
        self._metrics.events.labels(kind).inc()
        if kind.startswith(MANY) and not self._has_room(kind):
            return
        self._tell(kind, message, client, data)

    def catch_up(self) -> None:
        """Tell how many were held back; to be called every second or so."""
        for kind, bucket in self._buckets.items():
            if bucket.held_back and self._fill(bucket) >= 1.0:
                more, bucket.held_back = bucket.held_back, 0
                self._tell(kind, f"and {more} more clients", None, {"more": more})

    def _has_room(self, kind: str) -> bool:
        bucket = self._buckets.setdefault(kind, _Bucket(BURST, self._now()))
        if self._fill(bucket) < 1.0:
            bucket.held_back += 1
            return False
        bucket.room -= 1.0
        return True

    def _fill(self, bucket: _Bucket) -> float:
        now = self._now()
        bucket.room = min(float(BURST), bucket.room + (now - bucket.at) * RATE)
        bucket.at = now
        return bucket.room

    def _tell(self, kind: str, message: str, client: str | None, data: dict[str, object]) -> None:
        if kind not in QUIET:
            log.info(kind, message=message, **data)
        if kind not in JOURNAL_ONLY:
            self._ear.event(
                Event(kind=kind, at=time.time(), message=message, client=client, data=data)
            )
