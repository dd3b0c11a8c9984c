"""The probes of a node's health, one file each.

To add a probe: write `probes/NAME.py` with a function `probe(around) -> Probe`, and add
it to REGISTRY. Nothing else knows the probes by name; metrics, reports and the state
machine take them from here. What a probe may look at is `probe.Surroundings`.

That the control feed is connected is no reason to leave service, so there is no probe
of it: the data plane outlives the control plane.
"""

from __future__ import annotations

from anycastle.agent.health.probe import Probe, Surroundings
from anycastle.agent.health.probes import (
    apply,
    clock,
    clock_sync,
    daemon,
    device,
    disk,
    port,
    source,
    speaker,
    stall,
    uplink,
    wireguard,
)

REGISTRY = (
    device.probe,
    wireguard.probe,
    port.probe,
    source.probe,
    stall.probe,
    apply.probe,
    daemon.probe,
    speaker.probe,
    uplink.probe,
    disk.probe,
    clock.probe,
    clock_sync.probe,
)


def probes(around: Surroundings) -> list[Probe]:
    """All probes of a node, in the order in which people want to read them."""
    return [make(around) for make in REGISTRY]
