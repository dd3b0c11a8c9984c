"""What the node's kernel holds now."""

from __future__ import annotations

import msgspec

from anycastle.agent.desired import Desired
from anycastle.agent.netlink.edge import NetworkEdge, NetworkState
from anycastle.agent.wireguard.edge import DeviceState, WireGuardEdge


class Observed(msgspec.Struct, frozen=True):
    """wireguard: None when there is no device."""

    wireguard: DeviceState | None
    network: NetworkState


def observe(desired: Desired, wireguard: WireGuardEdge, network: NetworkEdge) -> Observed:
    """Read all that `desired` is compared with. Blocks; raises WireGuardError, NetworkError."""
    return Observed(
        wireguard.read(),
        network.read(
            [desired.device, desired.fabric.tunnel.device],
            [sysctl.name for sysctl in desired.sysctls],
        ),
    )
