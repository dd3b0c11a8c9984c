"""What a router's configuration is made from, whatever its syntax."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from anycastle.model import deployment as settings
from anycastle.model.addresses import Network, link_ends
from anycastle.model.deployment import Bfd, Datacentre, Deployment

LIMIT = 64
"""Prefixes that a node may announce: a few of each kind; more is a fault of the node."""
KEEPALIVE, HOLD = 3, 9
"""Seconds. BFD is what detects failures."""
PATHS = 16
"""Next hops of one route."""
GRACEFUL_SHUTDOWN = "65535:0"
"""RFC 8326."""


@dataclass(frozen=True)
class Node:
    """One node as its router sees it."""

    name: str
    v4: IPv4Address
    v6: IPv6Address

    def address(self, version: int) -> IPv4Address | IPv6Address:
        return self.v4 if version == 4 else self.v6


@dataclass(frozen=True)
class Edge:
    """One edge router. asn: its own; node_asn: the deployment's.

    accepted: prefixes taken from nodes as they are. hosts: ranges of which single
    addresses are taken. offered: told to nodes beside a default route.
    """

    name: str
    asn: int
    node_asn: int
    bfd: Bfd
    nodes: tuple[Node, ...]
    accepted: tuple[Network, ...]
    hosts: tuple[Network, ...]
    offered: tuple[Network, ...]


def of_family(networks: Iterable[Network], version: int) -> list[Network]:
    """Those of IP version 4 or 6, in their order."""
    return [network for network in networks if network.version == version]


def edge(deployment: Deployment, datacentre: Datacentre, router: settings.Edge) -> Edge:
    """One of a datacentre's edge routers, from the settings."""
    return Edge(
        name=router.name,
        asn=router.asn,
        node_asn=deployment.asn,
        bfd=router.bfd,
        nodes=tuple(_node(router, node) for node in datacentre.nodes),
        accepted=(*deployment.anycast.prefixes, *deployment.pools),
        hosts=tuple(deployment.loopbacks),
        offered=datacentre.services,
    )


def _node(router: settings.Edge, node: settings.Node) -> Node:
    v4 = link_ends(router.links.v4, node.id)[1].ip
    v6 = link_ends(router.links.v6, node.id)[1].ip
    assert isinstance(v4, IPv4Address)
    assert isinstance(v6, IPv6Address)
    return Node(node.name, v4, v6)
