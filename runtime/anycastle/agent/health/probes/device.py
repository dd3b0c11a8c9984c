"""The WireGuard device exists and is up."""

from __future__ import annotations

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate
from anycastle.agent.links import LinkFlag, flags


def probe(around: Surroundings) -> Probe:
    return Probe("device", Severity.FATAL, immediate(lambda: complaint(around)))


def complaint(around: Surroundings) -> str:
    device = around.spec.wireguard.device
    state = flags(device)
    if state is None:
        return f"there is no device {device}"
    return "" if LinkFlag.UP in state else f"device {device} is down"
