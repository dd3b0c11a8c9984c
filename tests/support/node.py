"""A node of the documentation's addresses, and clients for it."""

from __future__ import annotations

from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)

from anycastle.model.addresses import FIRST_CLIENT_OFFSET, Dual, nth
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key
from anycastle.model.deployment import Anycast, Routing
from anycastle.model.node import ControlEndpoint, EdgePeer, Loopbacks, NodeSpec, WireGuardSpec

NOW = 1_900_000_000.0
SERVICE_KEY = Key(bytes(range(1, 33)))
POOLS = Dual(IPv4Network("10.200.0.0/16"), IPv6Network("fd00:200::/64"))
ANYCAST4, ANYCAST6 = IPv4Address("192.0.2.1"), IPv6Address("2001:db8:a::1")


def key(number: int) -> Key:
    """A public or pre-shared key; the number can be read in its base64."""
    return Key(number.to_bytes(2, "big") * 16)


def uplink(number: int) -> EdgePeer:
    """The eBGP peering over device `upN`."""
    return EdgePeer(
        name=f"edge{number}",
        asn=64601 + number,
        device=f"up{number}",
        local4=IPv4Interface(f"10.65.{number}.3/31"),
        local6=IPv6Interface(f"fd00:65:{number}::3/127"),
        remote4=IPv4Address(f"10.65.{number}.2"),
        remote6=IPv6Address(f"fd00:65:{number}::2"),
    )


def node_spec(*, device: str = "wg0", uplinks: int = 1, port: int = 51820) -> NodeSpec:
    return NodeSpec(
        deployment="test",
        name="ams-1",
        datacentre="ams",
        asn=64512,
        loopbacks=Loopbacks(IPv4Address("10.64.0.1"), IPv6Address("fd00:64::1")),
        anycast=Anycast(
            addresses=(ANYCAST4, ANYCAST6),
            prefixes=(IPv4Network("192.0.2.0/24"), IPv6Network("2001:db8:a::/48")),
            port=port,
        ),
        pools=POOLS,
        routing=Routing.BIRD,
        edges=tuple(uplink(number) for number in range(uplinks)),
        wireguard=WireGuardSpec(device=device),
        control=ControlEndpoint(urls=("https://198.51.100.17:8443",)),
    )


def client(number: int, *credentials: Credential) -> Client:
    """Client `number` (from 0) with the number's addresses; by default with one credential."""
    offset = FIRST_CLIENT_OFFSET + number
    return Client(
        id=f"c{number}",
        name=f"client-{number}",
        addresses=(nth(POOLS.v4, offset), nth(POOLS.v6, offset)),
        credentials=credentials or (Credential(id="a", public_key=key(number)),),
    )


def clients(*them: Client) -> dict[str, Client]:
    """By id, as `desired` takes them."""
    return {one.id: one for one in them}
