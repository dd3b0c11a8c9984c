"""The deployment of `stacks/Pulumi.lab.yaml` as a value, for tests of the lab's world."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from anycastle.model.addresses import Dual
from anycastle.model.deployment import (
    Anycast,
    ControlPlane,
    Datacentre,
    Deployment,
    Edge,
    Kind,
    Node,
    Routing,
)


def dual(v4: str, v6: str) -> Dual:
    return Dual(IPv4Network(v4), IPv6Network(v6))


def datacentre(name: str, number: int, routing: str, ids: tuple[int, ...]) -> Datacentre:
    edge = Edge(
        name=f"{name}-edge",
        asn=64600 + number,
        routing=Routing(routing),
        links=dual(f"10.65.{number}.0/24", f"fd00:65:{number}::/64"),
        loopbacks=(IPv4Address(f"10.64.0.20{number}"), IPv6Address(f"fd00:64::20{number}")),
    )
    return Datacentre(
        name=name,
        kind=Kind.LAB,
        routing=Routing(routing),
        edges=(edge,),
        nodes=tuple(Node(name=f"{name}-{i + 1}", id=id_) for i, id_ in enumerate(ids)),
        services=tuple(dual(f"10.50.{number}.0/24", f"fd00:50:{number}::/64")),
    )


DEPLOYMENT = Deployment(
    name="lab",
    asn=64512,
    anycast=Anycast(
        addresses=(IPv4Address("192.0.2.1"), IPv6Address("2001:db8:a::1")),
        prefixes=(IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8:a::/48")),
    ),
    pools=dual("10.200.0.0/16", "fd00:200::/64"),
    loopbacks=dual("10.64.0.0/24", "fd00:64::/64"),
    control_plane=ControlPlane(addresses=(IPv4Address("198.51.100.17"),)),
    datacentres=(
        datacentre("ams", 1, "bird", (1, 2)),
        datacentre("fra", 2, "frr", (3, 4)),
    ),
)
