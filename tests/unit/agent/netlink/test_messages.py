"""rtnetlink messages there and back."""

from __future__ import annotations

import struct
from ipaddress import IPv4Address, IPv4Interface, IPv6Interface, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from anycastle.agent.netlink import messages
from anycastle.agent.netlink.edge import (
    DeviceAddress,
    Link,
    NextHop,
    Route,
    RouteKind,
    Rule,
    hops_in_order,
)
from anycastle.model.addresses import Address, Network

INDICES = {"lo": 1, "up0": 2, "up1": 3}
NAMES = {number: name for name, number in INDICES.items()}

addresses4, addresses6 = st.ip_addresses(v=4), st.ip_addresses(v=6)
tables = st.one_of(st.integers(1, 251), st.integers(253, 2**32 - 1))


@st.composite
def routes(draw: st.DrawFn) -> Route:
    addresses = draw(st.sampled_from([addresses4, addresses6]))
    kind = draw(st.sampled_from(RouteKind))
    hops = st.builds(NextHop, st.sampled_from(sorted(INDICES)), addresses)
    unicast = kind is RouteKind.UNICAST
    return Route(
        draw(tables),
        _prefix(draw(addresses), draw(st.integers(0, 32))),
        draw(st.integers(1, 2**32 - 1)),
        kind,
        draw(st.one_of(st.none(), addresses)),
        hops_in_order(draw(st.sets(hops, min_size=1, max_size=3))) if unicast else (),
    )


def _prefix(address: Address, length: int) -> Network:
    return ip_network((address, length), strict=False)


@given(routes())
def test_a_route_is_read_as_it_was_written(route: Route) -> None:
    assert messages.route_of(messages.route_body(route, INDICES), NAMES) == route


@given(st.sampled_from([4, 6]), tables, st.integers(1, 2**31), st.integers(1, 2**32 - 1))
def test_a_rule_is_read_as_it_was_written(
    version: int, table: int, priority: int, mark: int
) -> None:
    rule = Rule(4 if version == 4 else 6, priority, mark, table)
    assert messages.rule_of(messages.rule_body(rule)) == rule


@given(
    st.one_of(
        st.builds(IPv4Interface, st.tuples(addresses4, st.integers(0, 32))),
        st.builds(IPv6Interface, st.tuples(addresses6, st.integers(0, 128))),
    )
)
def test_an_address_is_read_as_ours(interface: IPv4Interface | IPv6Interface) -> None:
    address = DeviceAddress("lo", interface)
    assert messages.address_of(messages.address_body(address, 1), NAMES) == (address, True)


def test_routes_of_others_are_not_ours() -> None:
    route = Route(254, ip_network("10.0.0.0/8"), 5, RouteKind.UNREACHABLE)
    body = bytearray(messages.route_body(route, INDICES))
    body[5] = 12  # rtm_protocol: BIRD
    assert messages.route_of(bytes(body), NAMES) is None


def test_rules_of_others_are_not_ours() -> None:
    body = messages.encode(fibmsg, {"family": 2, "action": 1}, [("FRA_PRIORITY", 510)])
    assert messages.rule_of(body) is None


def test_a_link_local_address_is_the_links_own() -> None:
    body = bytearray(messages.address_body(DeviceAddress("lo", IPv6Interface("fe80::1/64")), 1))
    body[3] = 253  # ifa_scope: RT_SCOPE_LINK
    assert messages.address_of(bytes(body), NAMES) is None


def test_an_address_of_an_unknown_device_is_left_out() -> None:
    body = messages.address_body(DeviceAddress("lo", IPv4Interface("192.0.2.1/32")), 99)
    assert messages.address_of(body, NAMES) is None


def test_a_route_over_an_unknown_device_is_named_by_number() -> None:
    route = Route(
        9, ip_network("0.0.0.0/0"), 1, next_hops=(NextHop("up0", ip_address("10.0.0.1")),)
    )
    read = messages.route_of(messages.route_body(route, INDICES), {})
    assert read is not None
    assert read.next_hops[0].device == "#2"


def test_a_link_is_read() -> None:
    attributes = [
        ("IFLA_IFNAME", "wg0"),
        ("IFLA_MTU", 1380),
        ("IFLA_LINKINFO", {"attrs": [("IFLA_INFO_KIND", "wireguard")]}),
    ]
    body = messages.encode(ifinfmsg, {"index": 7, "flags": 0x91}, attributes)
    assert messages.link_of(body) == (7, "wg0", Link(1380, up=True, kind="wireguard"))


def test_a_physical_link_has_no_kind() -> None:
    attributes = [("IFLA_IFNAME", "eth0"), ("IFLA_MTU", 1500)]
    body = messages.encode(ifinfmsg, {"index": 2}, attributes)
    assert messages.link_of(body) == (2, "eth0", Link(1500, up=False))


@pytest.mark.parametrize(("mtu", "up", "flags", "change"), [(1380, None, 0, 0), (None, True, 1, 1)])
def test_setting_a_link_touches_what_is_given(
    mtu: int | None, up: bool | None, flags: int, change: int
) -> None:
    body = messages.link_set(7, mtu, up)
    _, _, index, sent, mask = struct.unpack_from("=BxHiII", body)
    assert (index, sent, mask) == (7, flags, change)
    assert len(body) == (24 if mtu else 16)


def test_a_lookup_carries_the_mark_and_the_answer_the_source() -> None:
    body = messages.lookup_request(51820, IPv4Address("203.0.113.9"))
    assert struct.pack("=HHI", 8, 16, 51820) in body
    answer = messages.encode(rtmsg, {"family": 2}, [("RTA_PREFSRC", "192.0.2.1")])
    assert messages.lookup_source(answer) == IPv4Address("192.0.2.1")
    assert messages.lookup_source(messages.encode(rtmsg, {"family": 2}, [])) is None
