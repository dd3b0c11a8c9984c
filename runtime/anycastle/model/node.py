"""What one node has to know: its node spec, and its iBGP peers.

Bootstrap (`components.node`) writes the node spec to /etc/anycastle/node.json and the
peers to /etc/anycastle/peers.json, so that a new node is one line more in one file of
the others and changes nothing else on them.
"""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

import msgspec

from anycastle.model.addresses import Address, Dual, Network
from anycastle.model.deployment import Anycast, Bfd, Health, Routing, Takeover


class Loopbacks(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A router's own addresses, one of each family."""

    v4: IPv4Address
    v6: IPv6Address


class EdgePeer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An eBGP session pair (IPv4 and IPv6) with an edge router over one uplink.

    device: the network device of the uplink on the node.
    local4, local6: the node's ends; remote4, remote6: the router's. A router that speaks
    IPv4 only (a VPC Route Server's endpoint) has no local6 and no remote6.
    """

    name: str
    asn: int
    device: str
    local4: IPv4Interface
    local6: IPv6Interface | None = None
    remote4: IPv4Address
    remote6: IPv6Address | None = None
    bfd: Bfd = Bfd()

    def session(self, version: int) -> tuple[Address, Address] | None:
        """(the node's address, the router's) of the session of a family, None without one."""
        if version == 4:
            return self.local4.ip, self.remote4
        if self.local6 is None or self.remote6 is None:
            return None
        return self.local6.ip, self.remote6


class Gateway(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A next hop towards clients that is no BGP neighbour, e.g. a VPC subnet's router."""

    device: str
    address: Address


class Peer(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True
):
    """An iBGP session with another node of the deployment, over the inter-node path.

    underlay: the peer's tunnel end there, None for its loopback.
    """

    name: str
    datacentre: str
    loopbacks: Loopbacks
    underlay: IPv4Address | None = None

    @property
    def tunnel_end(self) -> IPv4Address:
        return self.underlay or self.loopbacks.v4


class WireGuardSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The WireGuard device. fwmark: mark of its packets; it is the routing table, too."""

    device: str = "wg0"
    fwmark: int = 51820
    mtu: int = 1380


class FabricSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The inter-node path: one VXLAN device (RFC 7348) on every node, between loopbacks.

    Edge routers know the pools only, so a packet for a client of another node has
    to be carried to that node inside another packet.

    networks: where the nodes' addresses on the device come from
    (`model.addresses.fabric_interface`); used on this link only, never announced.
    mtu: of the device: 50 bytes less than the links carry.
    """

    device: str = "fabric0"
    vni: int = 51820
    port: int = 4789
    mtu: int = 1450
    networks: Dual = Dual(v4=IPv4Network("10.67.0.0/16"), v6=IPv6Network("fd00:67::/64"))


class ControlEndpoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the agent reaches the control plane. urls: `https://host:port`, tried in turn."""

    urls: tuple[str, ...]
    ca_file: str = "/etc/anycastle/control-ca.pem"


class AwsSecrets(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """ARNs in AWS Secrets Manager of what this node fetches itself (`fetch-secrets`)."""

    service_key: str
    join_token: str


class NodeSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that the agent is told by bootstrap; clients come by the control feed.

    anycast: what packets of clients arrive at here. hold_anycast: does the node hold those
    addresses on loopback, and announce the prefixes? Not behind a load balancer that sends
    packets on to the host's own address: then `anycast.addresses` is that, without prefixes.
    gateways: next hops towards clients, where edge routers are not on the packets' way.
    underlay: this node's tunnel end on the inter-node path, None for its loopback.
    """

    deployment: str
    name: str
    datacentre: str
    asn: int
    loopbacks: Loopbacks
    anycast: Anycast
    pools: Dual
    routing: Routing
    edges: tuple[EdgePeer, ...]
    services: tuple[Network, ...] = ()
    wireguard: WireGuardSpec = WireGuardSpec()
    fabric: FabricSpec = FabricSpec()
    health: Health = Health()
    takeover: Takeover = Takeover()
    control: ControlEndpoint
    listen_port: int = 9178
    secrets: AwsSecrets | None = None
    hold_anycast: bool = True
    gateways: tuple[Gateway, ...] = ()
    underlay: IPv4Address | None = None

    @property
    def tunnel_end(self) -> IPv4Address:
        return self.underlay or self.loopbacks.v4
