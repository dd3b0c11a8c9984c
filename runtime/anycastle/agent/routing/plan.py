"""What both daemons' configurations are made from: addresses, names, timers.

The routes that a node's daemon holds, and where each kind may go:

| route                    | from           | kernel | nodes | edges | agent session |
|--------------------------|----------------|--------|-------|-------|---------------|
| loopback                 | device         |        |       | yes   |               |
| anycast, pool aggregates | agent anycast  |        |       | yes   |               |
| beacon (100::ID/128)     | agent anycast  |        | yes   |       |               |
| beacon of another node   | node           |        |       |       | anycast       |
| client (/32, /128)       | agent client   | yes    | yes   |       |               |
| client of another node   | node           | yes    |       |       | client        |
| everything else          | edge           | yes    |       |       |               |

Everything not in this table is refused. Next hops of the agent's routes lie on the
WireGuard device, those of other nodes' routes on the inter-node device: without the
device a route has no next hop, and the daemon withdraws it by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Network

from anycastle.model.addresses import (
    Address,
    Network,
    client_next_hop,
    fabric_interface,
    tunnel_gateway,
)
from anycastle.model.deployment import Bfd
from anycastle.model.node import NodeSpec, Peer

AGENT_CLIENT = IPv4Address("127.0.0.2")
"""Source address of the agent's client session: on loopback, so nobody outside has it."""
AGENT_ANYCAST = IPv4Address("127.0.0.3")
"""Source address of the agent's anycast session."""

BEACONS = IPv6Network("100::/64")
"""Beacons are numbered from the discard-only prefix (RFC 6666): no packet goes there."""

GRACEFUL_SHUTDOWN = (65535, 0)
"""Community of a route that is about to go (RFC 8326)."""

HOLD_TIME = 9
KEEPALIVE_TIME = 3
"""Seconds, between BIRD and its neighbours; BFD is what detects failures."""
FABRIC_BFD = Bfd(interval=300, multiplier=3)
"""Liveness of other nodes over the inter-node device."""


def beacon(loopback: IPv4Address) -> IPv6Network:
    """The prefix by which the node with this loopback says that it announces anycast."""
    return IPv6Network((int(BEACONS.network_address) + int(loopback), 128))


@dataclass(frozen=True)
class Family:
    """One address family of a node. aggregates: anycast prefixes and the client pool."""

    version: int
    loopback: Address
    pool: Network
    aggregates: tuple[Network, ...]
    fabric: Network
    fabric_address: Address
    client_next_hop: Address
    tunnel: Network

    @property
    def length(self) -> int:
        """Prefix length of a host route."""
        return self.loopback.max_prefixlen

    @property
    def own(self) -> tuple[Network, ...]:
        """Networks whose routes are never taken from an edge router."""
        return (*self.aggregates, self.fabric)


def families(spec: NodeSpec) -> tuple[Family, Family]:
    """(IPv4, IPv6) of a node."""
    v4 = _family(spec, spec.loopbacks.v4, spec.pools.v4, spec.fabric.networks.v4)
    return v4, _family(spec, spec.loopbacks.v6, spec.pools.v6, spec.fabric.networks.v6)


def _family(spec: NodeSpec, loopback: Address, pool: Network, fabric: Network) -> Family:
    anycast = tuple(prefix for prefix in spec.anycast.prefixes if prefix.version == pool.version)
    return Family(
        version=pool.version,
        loopback=loopback,
        pool=pool,
        aggregates=(*anycast, pool),
        fabric=fabric,
        fabric_address=fabric_interface(fabric, spec.loopbacks.v4).ip,
        client_next_hop=client_next_hop(pool),
        tunnel=tunnel_gateway(pool).network,
    )


@dataclass(frozen=True)
class Neighbour:
    """One BGP peering. kind: `edge`, `peer` or `agent`. address: the neighbour's."""

    name: str
    kind: str
    address: Address


def neighbours(spec: NodeSpec, peers: Sequence[Peer]) -> Iterator[Neighbour]:
    """Every peering of a node, in the order of its configuration."""
    for edge in spec.edges:
        for version in (4, 6):
            if session := edge.session(version):
                yield Neighbour(f"edge-{edge.name}-{version}", "edge", session[1])
    for peer in peers:
        address = fabric_interface(spec.fabric.networks.v4, peer.loopbacks.v4).ip
        yield Neighbour(f"peer-{peer.name}", "peer", address)
    yield Neighbour("agent-client", "agent", AGENT_CLIENT)
    yield Neighbour("agent-anycast", "agent", AGENT_ANYCAST)
