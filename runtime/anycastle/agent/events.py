"""What happens on the node, for the journal, the metrics and the control plane."""

from __future__ import annotations

import time
from typing import Protocol

import structlog

from anycastle.agent.metrics import Metrics
from anycastle.model.status import Event

QUIET = ("feed.connected", "feed.disconnected")

log = structlog.get_logger()


class Ear(Protocol):
    """Who passes events on to the control plane (`control_client.ControlClient`)."""

    def event(self, event: Event) -> None: ...


class Emitter:
    """Call it with the event's kind and a sentence for people.

    client: its name. data: details for programs; plain values only. A kind in QUIET
    has been logged by who noticed it.
    """

    def __init__(self, ear: Ear, metrics: Metrics) -> None:
        self._ear = ear
        self._metrics = metrics

    def __call__(
        self, kind: str, message: str, *, client: str | None = None, **data: object
    ) -> None:
        if kind not in QUIET:
            log.info(kind, message=message, **data)
        self._metrics.events.labels(kind).inc()
        self._ear.event(Event(kind=kind, at=time.time(), message=message, client=client, data=data))
