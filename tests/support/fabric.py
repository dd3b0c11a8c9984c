"""Nodes that know each other, for tests of the inter-node path."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import msgspec

from anycastle.agent.desired import Desired, desired
from anycastle.model.node import Loopbacks, Peer
from tests.support.node import NOW, SERVICE_KEY, node_spec


def peer(number: int) -> Peer:
    loopbacks = Loopbacks(IPv4Address(f"10.64.0.{number}"), IPv6Address(f"fd00:64::{number:x}"))
    return Peer(name=f"ams-{number}", datacentre="ams", loopbacks=loopbacks)


def with_peers(*numbers: int, mtu: int = 1450, vni: int = 51820) -> Desired:
    """What node 1 should hold when these are the others. No uplinks."""
    spec = node_spec(uplinks=0)
    fabric = msgspec.structs.replace(spec.fabric, mtu=mtu, vni=vni)
    spec = msgspec.structs.replace(spec, fabric=fabric)
    return desired(spec, SERVICE_KEY, {}, NOW, [peer(number) for number in numbers])
