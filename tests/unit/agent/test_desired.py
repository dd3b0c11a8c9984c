"""What a node should hold."""

from __future__ import annotations

from ipaddress import ip_interface, ip_network

import msgspec
import pytest

from anycastle.agent.desired import client_peers, desired
from anycastle.agent.netlink.edge import DeviceAddress, RouteKind
from anycastle.agent.wireguard.edge import PeerConfig, clamp
from anycastle.model.client import Credential
from anycastle.model.codec import Key
from tests.support.node import ANYCAST4, ANYCAST6, NOW, SERVICE_KEY, client, clients, key, node_spec


def test_device_and_its_settings_come_from_the_spec() -> None:
    spec = node_spec(device="wg7", port=4500)
    wanted = desired(spec, SERVICE_KEY, {}, NOW)
    assert (wanted.device, wanted.listen_port, wanted.fwmark, wanted.mtu) == (
        "wg7",
        4500,
        51820,
        1380,
    )
    assert wanted.private_key == clamp(SERVICE_KEY)
    assert wanted.private_key != SERVICE_KEY


def test_addresses_are_loopbacks_anycast_and_the_pools_gateways() -> None:
    wanted = desired(node_spec(), SERVICE_KEY, {}, NOW)
    assert wanted.addresses == {
        DeviceAddress("lo", ip_interface("10.64.0.1/32")),
        DeviceAddress("lo", ip_interface("fd00:64::1/128")),
        DeviceAddress("lo", ip_interface("192.0.2.1/32")),
        DeviceAddress("lo", ip_interface("2001:db8:a::1/128")),
        DeviceAddress("wg0", ip_interface("10.200.0.1/30")),
        DeviceAddress("wg0", ip_interface("fd00:200::1/126")),
        DeviceAddress("fabric0", ip_interface("10.67.0.1/16")),
        DeviceAddress("fabric0", ip_interface("fd00:67::a40:1/64")),
    }


def test_marked_packets_leave_from_the_anycast_address_by_every_uplink() -> None:
    wanted = desired(node_spec(uplinks=2), SERVICE_KEY, {}, NOW)
    marked = {route.destination: route for route in wanted.routes if route.table == 51820}
    assert {route.source for route in marked.values()} == {ANYCAST4, ANYCAST6}
    assert set(marked) == {ip_network("0.0.0.0/0"), ip_network("::/0")}
    for route in marked.values():
        assert [hop.device for hop in route.next_hops] == ["up0", "up1"]
    assert {(rule.version, rule.mark, rule.table) for rule in wanted.rules} == {
        (4, 51820, 51820),
        (6, 51820, 51820),
    }


def test_pools_and_anycast_prefixes_end_in_unreachable_routes() -> None:
    wanted = desired(node_spec(), SERVICE_KEY, {}, NOW)
    ends = {route.destination for route in wanted.routes if route.kind is RouteKind.UNREACHABLE}
    assert {str(network) for network in ends} == {
        "10.200.0.0/16",
        "fd00:200::/64",
        "192.0.2.0/24",
        "2001:db8:a::/48",
    }


def test_a_deployment_of_one_family_needs_no_rule_for_the_other() -> None:
    spec = node_spec()
    anycast = msgspec.structs.replace(spec.anycast, addresses=(ANYCAST4,))
    wanted = desired(msgspec.structs.replace(spec, anycast=anycast), SERVICE_KEY, {}, NOW)
    assert {rule.version for rule in wanted.rules} == {4}


def test_without_uplinks_there_is_no_default_route_to_make() -> None:
    wanted = desired(node_spec(uplinks=0), SERVICE_KEY, {}, NOW)
    assert all(route.kind is RouteKind.UNREACHABLE for route in wanted.routes)


def test_a_device_name_with_a_dot_is_one_part_of_a_sysctl() -> None:
    names = {
        sysctl.name for sysctl in desired(node_spec(device="wg.1"), SERVICE_KEY, {}, NOW).sysctls
    }
    assert "net.ipv4.conf.wg/1.rp_filter" in names


def test_every_client_is_a_peer_with_its_own_addresses() -> None:
    wanted = desired(node_spec(), SERVICE_KEY, clients(client(0), client(1)), NOW)
    assert wanted.peers[key(1)] == PeerConfig(
        key(1), None, (ip_network("10.200.0.17/32"), ip_network("fd00:200::11/128"))
    )
    assert set(wanted.peers) == {key(0), key(1)}


@pytest.mark.parametrize(
    ("not_after", "valid"), [(None, True), (NOW + 1, True), (NOW, False), (NOW - 1, False)]
)
def test_a_credential_ends_at_its_time(not_after: float | None, valid: bool) -> None:
    credential = Credential(id="a", public_key=key(1), not_after=not_after)
    assert bool(client_peers(client(0, credential), NOW)) is valid


def test_of_two_credentials_the_last_has_the_addresses() -> None:
    old = Credential(id="a", public_key=key(1), not_after=NOW + 60)
    new = Credential(id="b", public_key=key(2), preshared_key=key(3))
    first, second = client_peers(client(0, old, new), NOW)
    assert first == PeerConfig(key(1), None, ())
    assert second.preshared_key == key(3)
    assert [str(network) for network in second.allowed_ips] == [
        "10.200.0.16/32",
        "fd00:200::10/128",
    ]


def test_the_addresses_fall_back_to_a_credential_that_is_still_valid() -> None:
    lasting = Credential(id="a", public_key=key(1))
    ended = Credential(id="b", public_key=key(2), not_after=NOW - 1)
    (peer,) = client_peers(client(0, lasting, ended), NOW)
    assert peer.public_key == key(1)
    assert len(peer.allowed_ips) == 2


def test_a_preshared_key_of_zeros_is_none() -> None:
    credential = Credential(id="a", public_key=key(1), preshared_key=Key(bytes(32)))
    (peer,) = client_peers(client(0, credential), NOW)
    assert peer.preshared_key is None
