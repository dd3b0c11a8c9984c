"""The arithmetic of addresses: links, gateways, endpoints."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.model import addresses
from anycastle.model.addresses import Dual, Endpoint

four = st.builds(
    lambda a, n: ipaddress.IPv4Network((a, n), strict=False),
    st.ip_addresses(v=4),
    st.integers(8, 28),
)
six = st.builds(
    lambda a, n: ipaddress.IPv6Network((a, n), strict=False),
    st.ip_addresses(v=6),
    st.integers(16, 120),
)
networks = four | six


@given(networks, st.integers(0, 7))
def test_link_ends_are_neighbours_in_the_network(network: Any, index: int) -> None:
    upstream, node = addresses.link_ends(network, index)
    assert upstream.network == node.network
    assert upstream.network.num_addresses == 2
    assert int(node.ip) - int(upstream.ip) == 1
    assert upstream.network.subnet_of(network)
    assert int(upstream.ip) == int(network.network_address) + 2 * index


@given(networks, st.integers(0, 6))
def test_links_do_not_overlap(network: Any, index: int) -> None:
    this, _ = addresses.link_ends(network, index)
    following, _ = addresses.link_ends(network, index + 1)
    assert not this.network.overlaps(following.network)


@given(networks)
def test_tunnel_gateway_and_next_hop_share_a_subnet(network: Any) -> None:
    gateway = addresses.tunnel_gateway(network)
    next_hop = addresses.client_next_hop(network)
    assert next_hop in gateway.network, "routes with an off-link next hop are refused"
    assert next_hop != gateway.ip
    first_client = addresses.nth(network, addresses.FIRST_CLIENT_OFFSET - 1)
    assert first_client not in gateway.network, "clients begin behind the gateway's subnet"


def test_links_of_the_lab() -> None:
    ends = addresses.link_ends(ipaddress.ip_network("10.65.1.0/24"), 2)
    assert [str(end) for end in ends] == ["10.65.1.4/31", "10.65.1.5/31"]
    ends = addresses.link_ends(ipaddress.ip_network("fd00:65:1::/64"), 2)
    assert [str(end) for end in ends] == ["fd00:65:1::4/127", "fd00:65:1::5/127"]


@pytest.mark.parametrize(("network", "index"), [("10.0.0.0/30", 2), ("10.0.0.0/30", -1)])
def test_no_such_link(network: str, index: int) -> None:
    with pytest.raises(ValueError, match="has no address number"):
        addresses.link_ends(ipaddress.ip_network(network), index)


@given(st.ip_addresses(), st.integers(1, 65535))
def test_endpoints_round_trip(address: Any, port: int) -> None:
    endpoint = Endpoint(address, port)
    assert Endpoint.parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    "text", ["", "192.0.2.1", "192.0.2.1:", "192.0.2.1:0", "192.0.2.1:65536", "host:1", ":1", "::1"]
)
def test_what_is_no_endpoint(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        Endpoint.parse(text)


def test_dual_is_both_in_order() -> None:
    dual = Dual(ipaddress.IPv4Network("10.0.0.0/8"), ipaddress.IPv6Network("fd00::/8"))
    assert [network.version for network in dual] == [4, 6]


@given(networks)
def test_families_are_instances_of_the_shared_types(network: Any) -> None:
    assert isinstance(network, addresses.Network)
    assert isinstance(network.network_address, addresses.Address)
    assert not isinstance(network, addresses.Address)
