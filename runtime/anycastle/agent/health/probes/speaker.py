"""The agent's BGP sessions with the local daemon are up."""

from __future__ import annotations

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate


def probe(around: Surroundings) -> Probe:
    return Probe("speaker", Severity.HARD, immediate(lambda: complaint(around)))


def complaint(around: Surroundings) -> str:
    down = [name for name, up in around.sessions.items() if not up]
    if not around.sessions:
        return "no BGP session was opened yet"
    return f"BGP session {', '.join(down)} with the local daemon is down" if down else ""
