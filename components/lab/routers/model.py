"""What a lab router has to know, whichever daemon it runs."""

from __future__ import annotations

import enum
from ipaddress import IPv4Address, IPv6Address

import msgspec

from anycastle.model.addresses import Network
from anycastle.model.deployment import Bfd

UPSTREAM_BFD = Bfd(interval=200, multiplier=3)
"""Between routers: a lost cable shows as link state at once, this finds hung daemons."""


class Role(enum.StrEnum):
    """What a neighbour is to an edge router; it decides the policy of the session."""

    CORE = "core"
    EDGE = "edge"
    NODE = "node"


class Neighbour(msgspec.Struct, frozen=True, kw_only=True):
    """A pair of eBGP sessions over one link: IPv4 over IPv4, IPv6 over IPv6."""

    name: str
    asn: int
    role: Role
    local4: IPv4Address
    remote4: IPv4Address
    local6: IPv6Address
    remote6: IPv6Address
    bfd: Bfd = UPSTREAM_BFD


class Prefixes(msgspec.Struct, frozen=True, kw_only=True):
    """The deployment's networks, as the policy sorts them.

    loopbacks: the ranges that hold routers' own addresses (announced as /32, /128).
    links: the ranges of node-edge links of every edge.
    services: inside networks of every datacentre.
    """

    anycast: tuple[Network, ...]
    pools: tuple[Network, ...]
    loopbacks: tuple[Network, ...]
    links: tuple[Network, ...]
    services: tuple[Network, ...]


class Router(msgspec.Struct, frozen=True, kw_only=True):
    """A core or an edge router.

    aggregates: networks that it announces whether or not a link in them is up.
    connected: networks of its interfaces (device, network) that it announces while up.
    node_asn: ASN of the neighbours that are nodes (0 on a core).
    """

    name: str
    asn: int
    router_id: IPv4Address
    prefixes: Prefixes
    neighbours: tuple[Neighbour, ...]
    aggregates: tuple[Network, ...] = ()
    connected: tuple[tuple[str, Network], ...] = ()
    node_asn: int = 0
    node_bfd: Bfd = Bfd()


def of_family(networks: tuple[Network, ...], version: int) -> tuple[Network, ...]:
    """Those of IP version 4 or 6, in their order."""
    return tuple(network for network in networks if network.version == version)
