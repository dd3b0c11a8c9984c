"""Lines for `ip -batch`, from a port's plan and what its device has."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from components.lab import wiring
from components.lab.world import Bridge, Host, HostKind, Port

PORT = Port(
    host="site1-c1",
    device="eth0",
    addresses=(IPv4Interface("192.168.1.11/24"), IPv6Interface("fd00:a1::11/64")),
    gateways=(IPv4Address("192.168.1.1"), IPv6Address("fd00:a1::1")),
)


def host(*loopbacks: str) -> Host:
    return Host(
        name="e",
        kind=HostKind.EDGE,
        place="ams",
        number=2,
        loopbacks=tuple(IPv4Interface(address) for address in loopbacks),
    )


def test_a_new_port() -> None:
    assert list(wiring.port_lines(PORT, 1500, set())) == [
        "link set dev eth0 mtu 1500",
        "link set dev eth0 up",
        "address replace 192.168.1.11/24 dev eth0",
        "address replace fd00:a1::11/64 dev eth0 nodad",
        "route replace 0.0.0.0/0 via 192.168.1.1 dev eth0",
        "route replace ::/0 via fd00:a1::1 dev eth0",
    ]


def test_an_address_that_is_not_planned_goes_first() -> None:
    lines = list(wiring.port_lines(PORT, 1500, {"192.168.1.11/24", "192.168.1.99/24"}))
    assert lines[0] == "address delete 192.168.1.99/24 dev eth0"
    assert not any("delete 192.168.1.11/24" in line for line in lines)


def test_a_port_of_a_bridge_has_no_address() -> None:
    port = Port(host="site1-nat", device="site1-c1", bridge="lan")
    assert list(wiring.port_lines(port, 1400, set())) == [
        "link set dev site1-c1 mtu 1400",
        "link set dev site1-c1 master lan",
        "link set dev site1-c1 up",
    ]


def test_a_bridge_is_added_once() -> None:
    bridge = Bridge(device="lan", addresses=(IPv4Interface("192.168.1.1/24"),))
    rest = ["link set dev lan up", "address replace 192.168.1.1/24 dev lan"]
    assert list(wiring.bridge_lines(bridge, present=False)) == ["link add lan type bridge", *rest]
    assert list(wiring.bridge_lines(bridge, present=True)) == rest


def test_loopbacks_of_the_plan_only_are_touched() -> None:
    old, new = host("10.64.0.201/32", "10.64.0.202/32"), host("10.64.0.202/32")
    assert list(wiring.stale_loopback_lines(old, new)) == ["address delete 10.64.0.201/32 dev lo"]
    assert list(wiring.loopback_lines(new, {"192.0.2.1/32"})) == [
        "address replace 10.64.0.202/32 dev lo"
    ]
    assert list(wiring.loopback_lines(new, {"10.64.0.202/32"})) == []


def test_addresses_as_ip_prints_them() -> None:
    printed = [
        {
            "ifname": "lo",
            "addr_info": [
                {"local": "127.0.0.1", "prefixlen": 8, "scope": "host"},
                {"local": "10.64.0.201", "prefixlen": 32, "scope": "global"},
                {"local": "fe80::1", "prefixlen": 64, "scope": "link"},
                {"local": "::1", "prefixlen": 128, "scope": "host"},
            ],
        }
    ]
    assert wiring.addresses_of(printed) == {"10.64.0.201/32"}
