"""Address types shared by the model, and the arithmetic that hands them out."""

from __future__ import annotations

import abc
from collections.abc import Iterator
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
    ip_address,
)
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    Address = IPv4Address | IPv6Address
    Network = IPv4Network | IPv6Network
    Interface = IPv4Interface | IPv6Interface
else:
    # msgspec takes one custom type in a union at most, so at run time each pair
    # of families is one abstract class that both are registered with.
    class Address(abc.ABC):  # noqa: B024 - members are registered, not derived
        """An IPv4 or IPv6 address."""

    class Network(abc.ABC):  # noqa: B024 - members are registered, not derived
        """An IPv4 or IPv6 network."""

    class Interface(abc.ABC):  # noqa: B024 - members are registered, not derived
        """An IPv4 or IPv6 address with the length of its on-link prefix."""

    for _kind, _members in (
        (Address, (IPv4Address, IPv6Address)),
        (Network, (IPv4Network, IPv6Network)),
        (Interface, (IPv4Interface, IPv6Interface)),
    ):
        for _member in _members:
            _kind.register(_member)

GATEWAY_OFFSET = 1
"""Offset of the tunnel gateway (an address of every node's WireGuard device) in a pool."""
NEXT_HOP_OFFSET = 2
"""Offset of the on-link next hop of client routes; no host ever holds it."""
FIRST_CLIENT_OFFSET = 16
"""Lower addresses of a pool are kept for the deployment itself."""


class Endpoint(NamedTuple):
    """A UDP address as WireGuard knows it."""

    address: Address
    port: int

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        return f"{host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Parse `192.0.2.1:51820` or `[2001:db8::1]:51820`. Raises ValueError."""
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
            raise ValueError(f"{text!r} is not an endpoint like 192.0.2.1:51820")
        return cls(ip_address(host.strip("[]")), int(port))


class Dual(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One IPv4 and one IPv6 network that are used side by side."""

    v4: IPv4Network
    v6: IPv6Network

    def __iter__(self) -> Iterator[Network]:
        return iter((self.v4, self.v6))


def nth(network: Network, offset: int) -> Address:
    """The address `offset` places after the network's first. Raises ValueError."""
    if not 0 <= offset < network.num_addresses:
        raise ValueError(f"{network} has no address number {offset}")
    return network.network_address + offset


def link_ends(network: Network, index: int) -> tuple[Interface, Interface]:
    """(upstream end, node end) of point-to-point link number `index` in `network`.

    IPv4 uses /31 (RFC 3021), IPv6 /127 (RFC 6164). Raises ValueError when the
    network has no such link.
    """
    first, second = nth(network, 2 * index), nth(network, 2 * index + 1)
    if first.version == 4:
        return IPv4Interface(f"{first}/31"), IPv4Interface(f"{second}/31")
    return IPv6Interface(f"{first}/127"), IPv6Interface(f"{second}/127")


def tunnel_gateway(pool: Network) -> Interface:
    """Address and on-link prefix that every node's WireGuard device holds in `pool`."""
    gateway = nth(pool, GATEWAY_OFFSET)
    if gateway.version == 4:
        return IPv4Interface(f"{gateway}/30")
    return IPv6Interface(f"{gateway}/126")


def client_next_hop(pool: Network) -> Address:
    """NEXT_HOP of client routes: on link on the WireGuard device, held by nobody."""
    return nth(pool, NEXT_HOP_OFFSET)


def fabric_interface(network: Network, loopback: IPv4Address) -> Interface:
    """Address of the node with IPv4 loopback `loopback` on the inter-node path.

    It has the loopback's low bits: as many as `network` leaves to hosts. Loopbacks
    come from one network that is no larger, so no two nodes share an address.
    """
    hosts = network.num_addresses - 1
    address = nth(network, int(loopback) & hosts)
    if address.version == 4:
        return IPv4Interface(f"{address}/{network.prefixlen}")
    return IPv6Interface(f"{address}/{network.prefixlen}")


def fabric_mac(loopback: IPv4Address) -> str:
    """Hardware address of a node on the inter-node path: locally administered, made
    from the loopback, so that nodes need no ARP or neighbour discovery there."""
    return ":".join(f"{octet:02x}" for octet in b"\x02\xac" + loopback.packed)
