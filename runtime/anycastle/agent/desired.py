"""What a node's kernel should hold, from its node spec and the enrolled clients. Pure.

The data path of a packet from a client decides what is here:

1. It comes to the anycast address, which is on loopback, at the service port.
2. WireGuard decrypts it; the pools' gateway addresses are on its device.
3. The kernel forwards it, by the routes that the routing daemon puts in.
4. What WireGuard sends itself (an initiation to a client most of all) carries the
   firewall mark; the rule sends it to a table whose default route has the anycast
   address as source, or the client's NAT would drop it (design, section 4, fact 1).

5. What is for another node's client goes to that node over the inter-node path
   (`agent.fabric`).

Addresses of a pool or of an anycast prefix that nothing here answers for end in an
unreachable route, so that they can't circle between this node and its edge.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import IPv4Interface, IPv4Network, IPv6Interface, IPv6Network

import msgspec

from anycastle.agent.fabric import Fabric, fabric_addresses, fabric_of
from anycastle.agent.netlink.edge import (
    LOOPBACK,
    MAIN_TABLE,
    DeviceAddress,
    NextHop,
    Route,
    RouteKind,
    Rule,
    Sysctl,
    hops_in_order,
)
from anycastle.agent.wireguard.edge import PeerConfig, clamp, in_order, some_key
from anycastle.model.addresses import Address, Interface, Network, tunnel_gateway
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key
from anycastle.model.node import NodeSpec, Peer

RULE_PRIORITY = 510
"""Before what routing daemons (1000) and wg-quick (32,765 down) use, after `local` (0)."""

MARK_METRIC = 66

DEFAULT: dict[int, Network] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}

UNREACHABLE_METRIC = 0xFF002000
"""Worse than anything else. FRR takes the top byte as administrative distance, and
255 keeps it from preferring this route to one that it learns by BGP."""

LOOSE = "2"
"""rp_filter: the source must be reachable, over whichever device (RFC 3704, 2.4)."""


class Desired(msgspec.Struct, frozen=True):
    """The whole state. private_key: clamped. peers: by public key."""

    device: str
    private_key: Key
    listen_port: int
    fwmark: int
    mtu: int
    peers: dict[Key, PeerConfig]
    addresses: frozenset[DeviceAddress]
    rules: frozenset[Rule]
    routes: frozenset[Route]
    sysctls: tuple[Sysctl, ...]
    fabric: Fabric


def desired(
    spec: NodeSpec,
    service_key: Key,
    clients: Mapping[str, Client],
    now: float,
    nodes: Iterable[Peer] = (),
) -> Desired:
    """clients: by id. now: epoch seconds, for credentials that end. nodes: the others."""
    return Desired(
        device=spec.wireguard.device,
        private_key=clamp(service_key),
        listen_port=spec.anycast.port,
        fwmark=spec.wireguard.fwmark,
        mtu=spec.wireguard.mtu,
        peers=peers_of(clients.values(), now),
        addresses=frozenset(_addresses(spec)),
        rules=frozenset(_rules(spec)),
        routes=frozenset(_routes(spec)),
        sysctls=_sysctls(spec),
        fabric=fabric_of(spec, nodes),
    )


# peers ---------------------------------------------------------------------


def peers_of(clients: Iterable[Client], now: float) -> dict[Key, PeerConfig]:
    """The peers of the clients' valid credentials."""
    return {peer.public_key: peer for client in clients for peer in client_peers(client, now)}


def client_peers(client: Client, now: float) -> list[PeerConfig]:
    """One peer for each credential that is valid now; one of them has the addresses."""
    valid = [credential for credential in client.credentials if is_valid(credential, now)]
    holder = address_holder(valid)
    return [
        PeerConfig(
            credential.public_key,
            some_key(credential.preshared_key or b""),
            host_networks(client.addresses) if credential is holder else (),
        )
        for credential in valid
    ]


def is_valid(credential: Credential, now: float) -> bool:
    return credential.not_after is None or now < credential.not_after


def address_holder(credentials: Sequence[Credential]) -> Credential | None:
    """The credential whose peer has the client's addresses: the last, newest one.

    A rotation has two. The addresses are to move to the newer one when its first
    handshake is confirmed, which is then decided here.
    """
    return credentials[-1] if credentials else None


def host_networks(addresses: Iterable[Address]) -> tuple[Network, ...]:
    """The addresses as allowed IPs: /32 and /128, in order."""
    return in_order(_host(address) for address in addresses)


def _host(address: Address) -> Network:
    if address.version == 4:
        return IPv4Network((address.packed, 32))
    return IPv6Network((address.packed, 128))


# network -------------------------------------------------------------------


def anycast_sources(spec: NodeSpec) -> list[Address]:
    """The address of each family that WireGuard sends from: the first in the spec."""
    first: dict[int, Address] = {}
    for address in spec.anycast.addresses:
        first.setdefault(address.version, address)
    return list(first.values())


def _addresses(spec: NodeSpec) -> Iterable[DeviceAddress]:
    held = spec.anycast.addresses if spec.hold_anycast else ()
    for address in (spec.loopbacks.v4, spec.loopbacks.v6, *held):
        yield DeviceAddress(LOOPBACK, _interface(address))
    for pool in spec.pools:
        yield DeviceAddress(spec.wireguard.device, tunnel_gateway(pool))
    yield from fabric_addresses(spec)


def _rules(spec: NodeSpec) -> Iterable[Rule]:
    mark = spec.wireguard.fwmark
    for source in anycast_sources(spec):
        yield Rule(source.version, RULE_PRIORITY, mark, mark)


def _routes(spec: NodeSpec) -> Iterable[Route]:
    for network in (*spec.pools, *spec.anycast.prefixes):
        yield Route(MAIN_TABLE, network, UNREACHABLE_METRIC, RouteKind.UNREACHABLE)
    for source in anycast_sources(spec):
        if hops := towards_clients(spec, source.version):
            yield Route(
                spec.wireguard.fwmark,
                DEFAULT[source.version],
                MARK_METRIC,
                source=source,
                next_hops=hops_in_order(hops),
            )


def _interface(address: Address) -> Interface:
    if address.version == 4:
        return IPv4Interface((address, 32))
    return IPv6Interface((address, 128))


def towards_clients(spec: NodeSpec, version: int) -> list[NextHop]:
    """Next hops of what WireGuard sends: gateways where there are some, else edge routers."""
    if spec.gateways:
        return [
            NextHop(gateway.device, gateway.address)
            for gateway in spec.gateways
            if gateway.address.version == version
        ]
    sessions = ((edge.device, edge.session(version)) for edge in spec.edges)
    return [NextHop(device, session[1]) for device, session in sessions if session]


def uplinks(spec: NodeSpec) -> tuple[str, ...]:
    """The devices over which clients' packets come and go."""
    gateways = [gateway.device for gateway in spec.gateways]
    return tuple(dict.fromkeys([*(edge.device for edge in spec.edges), *gateways]))


def _sysctls(spec: NodeSpec) -> tuple[Sysctl, ...]:
    """Settings of the node's own network namespace.

    Reverse path filters are loose where a client's packets come in: anycast paths
    are asymmetric by nature.
    """
    device = spec.wireguard.device
    inbound = (device, spec.fabric.device, *uplinks(spec))
    return (
        Sysctl("net.ipv4.ip_forward", "1"),
        Sysctl("net.ipv6.conf.all.forwarding", "1"),
        Sysctl("net.ipv4.fib_multipath_hash_policy", "1", required=False),
        Sysctl("net.ipv6.fib_multipath_hash_policy", "1", required=False),
        *(device_sysctl(name, "rp_filter", LOOSE) for name in inbound),
        # Two clients behind one node are no neighbours: never tell them they are.
        Sysctl("net.ipv4.conf.all.send_redirects", "0", required=False),
        device_sysctl(device, "send_redirects", "0", required=False),
    )


def device_sysctl(device: str, setting: str, value: str, *, required: bool = True) -> Sysctl:
    """An IPv4 setting of a device. A dot in the device's name is written / (sysctl(8))."""
    return Sysctl(f"net.ipv4.conf.{device.replace('.', '/')}.{setting}", value, required)
