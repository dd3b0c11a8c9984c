"""Something keeps the clock right (see `clock`): worth knowing, no reason to leave."""

from __future__ import annotations

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate
from anycastle.agent.health.probes import clock


def probe(_around: Surroundings) -> Probe:
    return Probe("clock-sync", Severity.NOTE, immediate(lambda: complaint(clock.read())), 60.0)


def complaint(state: clock.Clock) -> str:
    return "" if state.synchronised else "the clock is not synchronised by NTP"
