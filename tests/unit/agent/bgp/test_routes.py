"""What routes say: endpoints, times, owners, beacons."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.bgp.attributes import PathAttributes
from anycastle.agent.bgp.routes import (
    BadRoute,
    ClientRoute,
    announcer,
    anycast_routes,
    client_attributes,
    client_route,
    decode_endpoint,
    encode_endpoint,
)
from anycastle.agent.routing.plan import beacon
from anycastle.model.addresses import Endpoint
from tests.support.node import node_spec

SPEC = node_spec()
OWNER = IPv4Address("10.64.0.9")
addresses = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address), st.integers(0, 2**128 - 1).map(IPv6Address)
)
endpoints = st.builds(Endpoint, addresses, st.integers(1, 65535))
# Seconds since the epoch that fit LOCAL_PREF, in microseconds.
times = st.integers(0, (2**32 - 1) * 10**6)
prefixes = st.sampled_from([ip_network("10.200.0.77/32"), ip_network("fd00:200::77/128")])


def heard(route: ClientRoute) -> PathAttributes:
    """What another node hears of a route: reflected by the owner's daemon, then by its own."""
    reflectors = (SPEC.loopbacks.v4, OWNER)
    return replace(client_attributes(SPEC, route), cluster_list=reflectors)


@given(endpoints, st.randoms())
def test_endpoint_comes_back_in_any_order_and_among_others(
    endpoint: Endpoint, order: random.Random
) -> None:
    communities = [*encode_endpoint(64512, endpoint), (64513, 1, 2)]
    order.shuffle(communities)
    assert decode_endpoint(64512, communities) == endpoint


def test_the_endpoint_of_the_design() -> None:
    four = Endpoint(ip_address("203.0.113.9"), 4500)
    assert encode_endpoint(64512, four) == ((64512, 0xCB007109, 4500),)
    six = Endpoint(ip_address("2001:db8::1"), 51820)
    assert [last >> 16 for _, _, last in encode_endpoint(64512, six)] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    "communities",
    [
        (),
        ((64513, 1, 1),),
        ((64512, 1, 1 << 16 | 5),),
        ((64512, 1, 5), (64512, 1, 1 << 16 | 5)),
        tuple((64512, 1, place << 16 | place) for place in (1, 2, 3, 4)),
    ],
)
def test_what_is_no_endpoint(communities: tuple[tuple[int, int, int], ...]) -> None:
    with pytest.raises(BadRoute, match="no endpoint"):
        decode_endpoint(64512, communities)


@given(prefixes, endpoints, times)
def test_route_comes_back_with_its_owner(
    prefix: IPv4Network | IPv6Network, endpoint: Endpoint, micro: int
) -> None:
    sent = ClientRoute(prefix, endpoint, micro / 1e6)
    received = client_route(SPEC.asn, prefix, heard(sent))
    assert received.owner == OWNER
    assert (received.prefix, received.endpoint) == (prefix, endpoint)
    assert received.confirmed_at == pytest.approx(sent.confirmed_at, abs=1e-6)


@given(times, times)
def test_the_newer_handshake_is_the_better_route(one: int, other: int) -> None:
    """BGP prefers the higher LOCAL_PREF, then the lower MED (RFC 4271 9.1.2)."""
    endpoint = Endpoint(ip_address("203.0.113.9"), 4500)
    ranks = []
    for micro in (one, other):
        route = ClientRoute(ip_network("10.200.0.77/32"), endpoint, micro / 1e6)
        said = client_attributes(SPEC, route)
        assert said.local_pref is not None
        assert said.med is not None
        ranks.append((said.local_pref, -said.med))
    # A float holds today's time to a quarter of a microsecond, so micro survives.
    assert (ranks[0] < ranks[1]) == (one < other)


@pytest.mark.parametrize(
    "change",
    [{"cluster_list": ()}, {"local_pref": None}, {"med": 1_000_000}, {"large_communities": ()}],
)
def test_a_route_that_does_not_say_what_it_should(change: dict[str, Any]) -> None:
    route = ClientRoute(ip_network("10.200.0.77/32"), Endpoint(ip_address("192.0.2.9"), 1), 5.0)
    with pytest.raises(BadRoute, match=r"10\.200\.0\.77|no endpoint"):
        client_route(SPEC.asn, route.prefix, replace(heard(route), **change))


def test_next_hop_is_on_the_wireguard_device() -> None:
    for text, hop in (("10.200.0.77/32", "10.200.0.2"), ("fd00:200::77/128", "fd00:200::2")):
        route = ClientRoute(ip_network(text), Endpoint(ip_address("192.0.2.9"), 1), 5.0)
        assert client_attributes(SPEC, route).next_hop == ip_address(hop)


@pytest.mark.parametrize("demoted", [False, True])
def test_anycast_routes_and_their_beacon(demoted: bool) -> None:
    routes = anycast_routes(SPEC, demoted)
    assert set(map(str, routes)) == {
        "192.0.2.0/24", "2001:db8:a::/48", "10.200.0.0/16", "fd00:200::/64", "100::a40:1/128",
    }  # fmt: skip
    own = beacon(SPEC.loopbacks.v4)
    assert announcer(own, routes[own]) == (SPEC.loopbacks.v4, demoted)
    assert {said.med for said in routes.values()} == {1000 if demoted else 0}
    with pytest.raises(BadRoute, match="no beacon"):
        announcer(ip_network("2001:db8::/48"), routes[own])
