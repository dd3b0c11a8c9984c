"""May this node initiate, as far as its clock is concerned? Pure.

A client takes an initiation only when its TAI64N timestamp is greater than the last one
that it took from the same key (WireGuard, section 5.4.2). All nodes share the service
key, so their clocks form one sequence: an initiation of a node whose clock is behind is
ignored in silence, and one of a node whose clock is ahead makes the client ignore the
others until their clocks have got there.

TOLERANCE bounds what an ahead clock can do to the others. Being behind is judged for
each client against the time at which its owner confirmed the session: that clock was at
least so far.
"""

from __future__ import annotations

from anycastle.agent.health.probes.clock import TOLERANCE, Clock
from anycastle.model.deployment import Clock as Trust

GRAIN = 2**24 * 1e-9
"""Seconds: WireGuard rounds its timestamps down to this, so a later one must differ by it."""


def complaint(clock: Clock, trust: Trust) -> str:
    """Why this node must not initiate; "" when it may. trust: what the deployment says."""
    if not clock.synchronised:
        return "" if trust is Trust.TRUSTED else "the clock is not synchronised by NTP"
    if abs(clock.offset) > TOLERANCE:
        return f"the clock is off by {clock.offset * 1000:+.0f} ms"
    return ""


def behind(wall: float, confirmed_at: float) -> float:
    """Seconds until an initiation from here has a later timestamp than anything that the
    owner sent before `confirmed_at` (both epoch seconds); not above 0.0: it has now."""
    return confirmed_at + GRAIN - wall
