"""The routing daemon answers on its control socket."""

from __future__ import annotations

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate

PATIENCE = 40.0
"""Seconds after which the last word of the daemon is worth nothing."""


def probe(around: Surroundings) -> Probe:
    return Probe("daemon", Severity.HARD, immediate(lambda: complaint(around)))


def complaint(around: Surroundings) -> str:
    name = str(around.spec.routing)
    if around.routing is None:
        return f"{name} was not asked yet"
    if not around.routing.running:
        return f"{name} is not running: {around.routing.detail}".rstrip(": ")
    age = around.now() - around.routing_at
    return "" if age < PATIENCE else f"{name} has not answered for {age:.0f} s"
