"""Something keeps the clock right (see `clock`): worth knowing, no reason to leave.

A node whose clock nobody vouches for takes no clients over (`takeover.clock`): neither NTP
nor, by the setting `health.clock`, the operator.
"""

from __future__ import annotations

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate
from anycastle.agent.health.probes import clock
from anycastle.model.deployment import Clock as Trust


def probe(around: Surroundings) -> Probe:
    def check() -> str:
        return complaint(clock.read(), around.spec.health.clock)

    return Probe("clock-sync", Severity.NOTE, immediate(check), 60.0)


def complaint(state: clock.Clock, trust: Trust) -> str:
    if state.synchronised or trust is Trust.TRUSTED:
        return ""
    return "the clock is not synchronised by NTP: this node takes no client over"
