"""What the agent's routes say, as path attributes and back. Pure.

A **client route** is one client address, announced by the node that holds the
client's newest confirmed session:

* LOCAL_PREF is the time of confirmation in whole epoch seconds, MED is 999,999 minus
  its microseconds: BGP's own decision process makes the newest handshake win.
* Large communities (RFC 8092) carry the client's endpoint. Each is
  (ASN, 32 bits of the address, place << 16 | port): place 0 is a whole IPv4 address,
  places 1 to 4 are the words of an IPv6 address in order. So an IPv4 endpoint is
  (ASN, address, port), and the order in which a daemon sorts them doesn't matter.
* The owner is the last entry of CLUSTER_LIST: the daemon that reflected it first is
  the one on the owner's node, and its cluster id is that node's IPv4 loopback.

The **anycast routes** are the anycast prefixes and the client pools; demoted, they have
a worse MED and GRACEFUL_SHUTDOWN (RFC 8326). Daemons keep only the best path of a
prefix, so other nodes learn from a node's **beacon** that it announces them too, and
whether it is demoted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

from anycastle.agent.bgp.attributes import LargeCommunity, PathAttributes
from anycastle.agent.routing.plan import BEACONS, GRACEFUL_SHUTDOWN, beacon
from anycastle.model.addresses import Endpoint, Network, client_next_hop
from anycastle.model.node import NodeSpec

MED_UP, MED_DEMOTED = 0, 1000
_MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class ClientRoute:
    """Who holds a client's newest session.

    prefix: the client's address as /32 or /128. endpoint: where its packets come from.
    confirmed_at: epoch seconds, to the microsecond. owner: IPv4 loopback of the node
    that announced it; None: this node.
    """

    prefix: Network
    endpoint: Endpoint
    confirmed_at: float
    owner: IPv4Address | None = None


class BadRoute(ValueError):
    """A route of another node that does not say what it should."""


def client_attributes(spec: NodeSpec, route: ClientRoute) -> PathAttributes:
    """What this node's daemon is told about a client route."""
    pool = spec.pools.v4 if route.prefix.version == 4 else spec.pools.v6
    seconds, micro = divmod(round(route.confirmed_at * _MICRO), _MICRO)
    return PathAttributes(
        next_hop=client_next_hop(pool),
        local_pref=seconds,
        med=_MICRO - 1 - micro,
        large_communities=encode_endpoint(spec.asn, route.endpoint),
    )


def client_route(asn: int, prefix: Network, attributes: PathAttributes) -> ClientRoute:
    """A route of another node. Raises BadRoute."""
    if attributes.local_pref is None or not 0 <= (attributes.med or 0) < _MICRO:
        raise BadRoute(f"{prefix}: LOCAL_PREF and MED are no time of confirmation")
    if not attributes.cluster_list:
        raise BadRoute(f"{prefix}: no CLUSTER_LIST, so its owner is unknown")
    return ClientRoute(
        prefix=prefix,
        endpoint=decode_endpoint(asn, attributes.large_communities),
        confirmed_at=attributes.local_pref + (_MICRO - 1 - (attributes.med or 0)) / _MICRO,
        owner=attributes.cluster_list[-1],
    )


def encode_endpoint(asn: int, endpoint: Endpoint) -> tuple[LargeCommunity, ...]:
    """An endpoint as large communities, see the top of this file."""
    packed = endpoint.address.packed
    words = [int.from_bytes(packed[at : at + 4], "big") for at in range(0, len(packed), 4)]
    first = 0 if len(words) == 1 else 1
    return tuple(
        (asn, word, place << 16 | endpoint.port) for place, word in enumerate(words, first)
    )


def decode_endpoint(asn: int, communities: Iterable[LargeCommunity]) -> Endpoint:
    """The endpoint among a route's large communities. Raises BadRoute."""
    ours = {last >> 16: (word, last & 0xFFFF) for first, word, last in communities if first == asn}
    ports = {port for _, port in ours.values()}
    if len(ports) == 1 and set(ours) == {0}:
        return Endpoint(IPv4Address(ours[0][0]), ports.pop())
    if len(ports) == 1 and set(ours) == {1, 2, 3, 4}:
        packed = b"".join(ours[place][0].to_bytes(4, "big") for place in (1, 2, 3, 4))
        return Endpoint(IPv6Address(packed), ports.pop())
    raise BadRoute(f"large communities {sorted(ours)} of AS {asn} are no endpoint")


def anycast_routes(spec: NodeSpec, demoted: bool) -> dict[Network, PathAttributes]:
    """Everything that the anycast session announces: prefixes, pools, the beacon."""
    networks = [*spec.anycast.prefixes, *spec.pools, beacon(spec.loopbacks.v4)]
    return {network: _anycast_attributes(spec, network.version, demoted) for network in networks}


def _anycast_attributes(spec: NodeSpec, version: int, demoted: bool) -> PathAttributes:
    return PathAttributes(
        next_hop=client_next_hop(spec.pools.v4 if version == 4 else spec.pools.v6),
        local_pref=100,
        med=MED_DEMOTED if demoted else MED_UP,
        communities=(GRACEFUL_SHUTDOWN,) if demoted else (),
    )


def announcer(prefix: Network, attributes: PathAttributes) -> tuple[IPv4Address, bool]:
    """(loopback of the node behind a beacon, is it demoted?). Raises BadRoute."""
    if not isinstance(prefix, IPv6Network) or not prefix.subnet_of(BEACONS):
        raise BadRoute(f"{prefix} is no beacon")
    return beacon_loopback(prefix), GRACEFUL_SHUTDOWN in attributes.communities


def beacon_loopback(prefix: Network) -> IPv4Address:
    """The IPv4 loopback in a beacon's last 32 bits."""
    return IPv4Address(int(prefix.network_address) & 0xFFFFFFFF)
