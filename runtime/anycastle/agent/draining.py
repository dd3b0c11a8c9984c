"""Why this node is to leave service, until when it waits for its sessions, how far it is. Pure.

Two things take a node out of service in good order. An operator's order comes over the
feed and stands until it is called off, over restarts of everything. A stop of the process
(`systemctl stop`, a shutdown of the host) waits STOP_LIMIT seconds at most, and does so
even where nobody else announces, as the process ends anyway.

An order's deadline is a moment on the control plane's clock. It is turned once, when the
order is heard of, into seconds on this process's monotonic clock, and never into more than
the whole length of the drain: so a clock that is wrong, or set meanwhile, makes a drain
shorter or as long as it was meant to be, never endless.
"""

from __future__ import annotations

from dataclasses import dataclass

from anycastle.model.feed import NodeOrder
from anycastle.model.status import DrainPhase, DrainStatus

STOP_LIMIT = 10.0
"""Seconds that a stop waits for sessions to move; the unit's TimeoutStopSec is longer."""
FINAL = (DrainPhase.DRAINED, DrainPhase.OVERDUE)


@dataclass(frozen=True, slots=True)
class _Ordered:
    """An order and its time here. begun, until: monotonic seconds."""

    order: NodeOrder
    begun: float
    until: float


@dataclass(frozen=True, slots=True)
class _Stop:
    reason: str
    until: float


class Draining:
    """What the node was asked for. All times are monotonic seconds but for `wall`."""

    def __init__(self) -> None:
        self._ordered: _Ordered | None = None
        self._stop: _Stop | None = None
        self._told: DrainPhase | None = None

    @property
    def reason(self) -> str:
        """Why the node is to leave service, "" when it is not."""
        if self._stop is not None:
            return self._stop.reason
        if self._ordered is None:
            return ""
        text = self._ordered.order.reason
        return f"asked to drain: {text}" if text else "asked to drain"

    @property
    def forced(self) -> bool:
        """Leave whatever the others do."""
        ordered = self._ordered
        return self._stop is not None or (ordered is not None and ordered.order.force)

    @property
    def ordered(self) -> bool:
        """Does an operator's order stand?"""
        return self._ordered is not None

    def order(self, order: NodeOrder | None, now: float, wall: float) -> bool:
        """What the control plane wants now; None: nothing. Did that change anything?"""
        present = None if self._ordered is None else self._ordered.order
        wanted = order if order is not None and order.drain else None
        if wanted == present:
            return False
        self._told = None
        if wanted is None:
            self._ordered = None
        else:
            length = max(0.0, wanted.deadline - wanted.since)
            left = min(max(0.0, wanted.deadline - wall), length)
            self._ordered = _Ordered(wanted, now, now + left)
        return True

    def stop(self, reason: str, now: float) -> None:
        """The process is to end."""
        self._stop = _Stop(reason, now + STOP_LIMIT)

    def may_end(self, now: float, *, announcing: bool, sessions: int, alone: bool) -> bool:
        """Has a stop nothing to wait for any more? alone: nobody else announces, so no
        session can go anywhere."""
        if self._stop is None or announcing:
            return False
        return not sessions or alone or now >= self._stop.until

    def status(
        self, now: float, *, announcing: bool, sessions: int | None, ready: bool
    ) -> DrainStatus | None:
        """How far an operator's order is. sessions: None while WireGuard was not asked yet."""
        if self._ordered is None:
            return None
        order = self._ordered.order
        if sessions == 0 and not announcing:
            phase = DrainPhase.DRAINED
        elif now >= self._ordered.until:
            phase = DrainPhase.OVERDUE
        else:
            phase = DrainPhase.LEAVING if announcing else DrainPhase.MOVING
        return DrainStatus(phase=phase, since=order.since, deadline=order.deadline, ready=ready)

    def news(self, phase: DrainPhase, sessions: int, now: float) -> str:
        """What there is to tell of the end of a drain, once each; else ""."""
        assert self._ordered is not None
        if phase is DrainPhase.LEAVING:
            self._told = None  # the others failed, and it serves again
        if phase not in FINAL or self._told in (phase, DrainPhase.DRAINED):
            return ""
        self._told = phase
        seconds = now - self._ordered.begun
        if phase is DrainPhase.DRAINED:
            return f"drained: no session is left after {seconds:.1f} s"
        return f"not drained: the deadline passed after {seconds:.1f} s, sessions left: {sessions}"
