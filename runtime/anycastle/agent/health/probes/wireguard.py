"""WireGuard answers: the agent samples it all the time, so the last sample is young.

This finds a wireguard-go that hangs, and a kernel that keeps the RTNL lock.
"""

from __future__ import annotations

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate

PATIENCE = 5.0
"""Seconds: an apply of many peers may hold up a sample."""


def probe(around: Surroundings) -> Probe:
    return Probe("wireguard", Severity.HARD, immediate(lambda: complaint(around)))


def complaint(around: Surroundings) -> str:
    if around.sampled_at is None:
        return "was not sampled yet"
    age = around.now() - around.sampled_at
    return "" if age < PATIENCE else f"has not answered for {age:.0f} s"
