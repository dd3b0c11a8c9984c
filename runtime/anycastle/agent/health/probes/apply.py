"""The last reconcile could do all that it wanted to."""

from __future__ import annotations

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate


def probe(around: Surroundings) -> Probe:
    return Probe("apply", Severity.SOFT, immediate(lambda: complaint(around)))


def complaint(around: Surroundings) -> str:
    errors = around.apply_errors
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return errors[0] + more if errors else ""
