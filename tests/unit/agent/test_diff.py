"""Operations as text: one line each, in the order in which they are carried out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Network, ip_interface
from textwrap import dedent

import msgspec
import pytest

from anycastle.agent.apply import apply
from anycastle.agent.desired import Desired, desired
from anycastle.agent.diff import change_operations, diff, render
from anycastle.agent.netlink.edge import (
    MAIN_TABLE,
    DeviceAddress,
    Link,
    Route,
    RouteKind,
    Rule,
    Sysctl,
)
from anycastle.agent.netlink.fake import FakeNetwork
from anycastle.agent.observed import observe
from anycastle.agent.wireguard.edge import SetDevice
from anycastle.agent.wireguard.fake import FakeWireGuard
from anycastle.model.client import Client, Credential
from anycastle.model.feed import Change
from tests.support.node import NOW, SERVICE_KEY, client, clients, key, node_spec

FRESH_NODE = """\
    sysctl net.ipv4.ip_forward = 1
    sysctl net.ipv6.conf.all.forwarding = 1
    sysctl net.ipv4.fib_multipath_hash_policy = 1
    sysctl net.ipv6.fib_multipath_hash_policy = 1
    sysctl net.ipv4.conf.up0.rp_filter = 2
    sysctl net.ipv4.conf.all.send_redirects = 0
    device wg0 make
    wireguard set private-key … listen-port 51820 fwmark 51820
    peer put AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= psk none allowed 10.200.0.16/32 fd00:200::10/128
    link wg0 mtu 1380
    link wg0 up
    tunnel fabric0 02:ac:0a:40:00:01 vni 51820 local 10.64.0.1 port 4789 make
    link fabric0 mtu 1450
    link fabric0 up
    sysctl net.ipv4.conf.wg0.rp_filter = 2
    sysctl net.ipv4.conf.fabric0.rp_filter = 2
    sysctl net.ipv4.conf.wg0.send_redirects = 0
    address 10.200.0.1/30 dev wg0 add
    address 10.64.0.1/32 dev lo add
    address 10.67.0.1/16 dev fabric0 add
    address 192.0.2.1/32 dev lo add
    address 2001:db8:a::1/128 dev lo add
    address fd00:200::1/126 dev wg0 add
    address fd00:64::1/128 dev lo add
    address fd00:67::a40:1/64 dev fabric0 add
    rule ipv4 510 fwmark 51820 table 51820 add
    rule ipv6 510 fwmark 51820 table 51820 add
    route unreachable 10.200.0.0/16 table 254 metric 4278198272 put
    route unreachable 192.0.2.0/24 table 254 metric 4278198272 put
    route unreachable 2001:db8:a::/48 table 254 metric 4278198272 put
    route unreachable fd00:200::/64 table 254 metric 4278198272 put
    route 0.0.0.0/0 table 51820 metric 66 src 192.0.2.1 via 10.65.0.2 dev up0 put
    route ::/0 table 51820 metric 66 src 2001:db8:a::1 via fd00:65::2 dev up0 put
    """


class Kernel:
    """Both fakes, brought to what one client on one uplink needs."""

    def __init__(self, wanted: Desired) -> None:
        self.wireguard, self.network = FakeWireGuard(), FakeNetwork()
        self.network.links |= {name: Link(1500, up=True) for name in ("up0", "up1")}
        self.apply(wanted)

    def operations(self, wanted: Desired) -> str:
        return render(diff(wanted, observe(wanted, self.wireguard, self.network)))

    def apply(self, wanted: Desired) -> None:
        operations = diff(wanted, observe(wanted, self.wireguard, self.network))
        assert apply(operations, self.wireguard, self.network).complete


BASE = desired(node_spec(), SERVICE_KEY, clients(client(0)), NOW)


def test_a_fresh_node() -> None:
    wireguard, network = FakeWireGuard(), FakeNetwork()
    network.links["up0"] = Link(1500, up=True)
    assert render(diff(BASE, observe(BASE, wireguard, network))) == dedent(FRESH_NODE)


@dataclass(frozen=True)
class Case:
    """disturb: what somebody did to the kernel. wanted: what is desired now."""

    name: str
    expected: str
    wanted: Desired = BASE
    disturb: Callable[[Kernel], object] = lambda _: None


def _set(**changes: object) -> Desired:
    return msgspec.structs.replace(BASE, **changes)


def _with_clients(*them: Client) -> Desired:
    return desired(node_spec(), SERVICE_KEY, clients(*them), NOW)


def _device_gone(kernel: Kernel) -> None:
    kernel.wireguard.vanish()
    kernel.network.vanish("wg0")


def _down(kernel: Kernel) -> None:
    kernel.network.links["wg0"] = Link(1420, up=False, kind="wireguard")


STRANGE_ROUTE = Route(MAIN_TABLE, IPv4Network("203.0.113.0/24"), 7, RouteKind.UNREACHABLE)
OLD_RULE = Rule(4, 510, 51819, 51819)
OLD_ADDRESS = DeviceAddress("lo", ip_interface("192.0.2.9/32"))


def _leftovers(kernel: Kernel) -> None:
    kernel.network.routes[STRANGE_ROUTE.slot] = STRANGE_ROUTE
    kernel.network.rules.add(OLD_RULE)
    kernel.network.addresses[OLD_ADDRESS] = True


TWO = Credential(id="b", public_key=key(2), preshared_key=key(3))

CASES = [
    Case("nothing differs", ""),
    Case(
        "a client more is one operation",
        "peer put AAEAAQABAAEAAQABAAEAAQABAAEAAQABAAEAAQABAAE= psk none "
        "allowed 10.200.0.17/32 fd00:200::11/128\n",
        _with_clients(client(0), client(1)),
    ),
    Case(
        "a client less is one operation",
        "peer remove AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n",
        _with_clients(),
    ),
    Case(
        "a pre-shared key alone leaves the allowed IPs be",
        "peer put AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= psk …\n",
        _with_clients(client(0, Credential(id="a", public_key=key(0), preshared_key=key(9)))),
    ),
    Case(
        "a second credential takes the addresses",
        "peer put AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= allowed nothing\n"
        "peer put AAIAAgACAAIAAgACAAIAAgACAAIAAgACAAIAAgACAAI= psk … "
        "allowed 10.200.0.16/32 fd00:200::10/128\n",
        _with_clients(client(0, Credential(id="a", public_key=key(0)), TWO)),
    ),
    Case("a new port", "wireguard set listen-port 4500\n", _set(listen_port=4500)),
    Case("a new key", "wireguard set private-key …\n", _set(private_key=key(77))),
    Case(
        "the device was taken away",
        "device wg0 make\n"
        "wireguard set private-key … listen-port 51820 fwmark 51820\n"
        "peer put AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= psk none "
        "allowed 10.200.0.16/32 fd00:200::10/128\n"
        "link wg0 mtu 1380\n"
        "link wg0 up\n"
        "sysctl net.ipv4.conf.wg0.rp_filter = 2\n"
        "sysctl net.ipv4.conf.wg0.send_redirects = 0\n"
        "address 10.200.0.1/30 dev wg0 add\n"
        "address fd00:200::1/126 dev wg0 add\n",
        disturb=_device_gone,
    ),
    Case("the link is down", "link wg0 mtu 1380\nlink wg0 up\n", disturb=_down),
    Case(
        "a setting was changed",
        "sysctl net.ipv4.ip_forward = 1\n",
        disturb=lambda kernel: kernel.network.sysctls.update({"net.ipv4.ip_forward": "0"}),
    ),
    Case(
        "leftovers of ours go, from the top down",
        "route unreachable 203.0.113.0/24 table 254 metric 7 remove\n"
        "rule ipv4 510 fwmark 51819 table 51819 remove\n"
        "address 192.0.2.9/32 dev lo remove\n",
        disturb=_leftovers,
    ),
    Case(
        "what others put on loopback stays",
        "",
        disturb=lambda kernel: kernel.network.addresses.update({OLD_ADDRESS: False}),
    ),
    Case(
        "what is on the WireGuard device is ours",
        "address 10.9.9.9/32 dev wg0 remove\n",
        disturb=lambda kernel: kernel.network.addresses.update(
            {DeviceAddress("wg0", ip_interface("10.9.9.9/32")): False}
        ),
    ),
    Case(
        "an address that is there already is left alone",
        "",
        disturb=lambda kernel: kernel.network.addresses.update(
            {DeviceAddress("lo", ip_interface("192.0.2.1/32")): False}
        ),
    ),
    Case(
        "a route that differs is replaced, not removed",
        "route 0.0.0.0/0 table 51820 metric 66 src 192.0.2.1 "
        "via 10.65.0.2 dev up0 via 10.65.1.2 dev up1 put\n"
        "route ::/0 table 51820 metric 66 src 2001:db8:a::1 "
        "via fd00:65::2 dev up0 via fd00:65:1::2 dev up1 put\n",
        _set(routes=desired(node_spec(uplinks=2), SERVICE_KEY, {}, NOW).routes),
    ),
    Case(
        "an uplink that is down is left out",
        "",
        _set(routes=desired(node_spec(uplinks=2), SERVICE_KEY, {}, NOW).routes),
        lambda kernel: kernel.network.links.pop("up1"),
    ),
    Case(
        "a setting more",
        "sysctl net.ipv4.conf.wg0.accept_local = 1\n",
        _set(sysctls=(*BASE.sysctls, Sysctl("net.ipv4.conf.wg0.accept_local", "1"))),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_node_in_service(case: Case) -> None:
    kernel = Kernel(BASE)
    case.disturb(kernel)
    assert kernel.operations(case.wanted) == case.expected
    kernel.apply(case.wanted)
    assert kernel.operations(case.wanted) == ""


def test_secrets_are_not_rendered() -> None:
    text = str(SetDevice(private_key=SERVICE_KEY))
    assert SERVICE_KEY.text not in text
    peer = clients(client(0, Credential(id="a", public_key=key(0), preshared_key=key(9))))
    assert key(9).text not in render(
        diff(
            desired(node_spec(), SERVICE_KEY, peer, NOW),
            observe(BASE, FakeWireGuard(), FakeNetwork()),
        )
    )


ENDED = Credential(id="a", public_key=key(0), not_after=NOW - 1)
CHANGES = [
    ("put a new client", (), (client(0),), (), "peer put AAAA psk none allowed 16\n"),
    ("put one that is there", (client(0),), (client(0),), (), ""),
    ("remove", (client(0),), (), ("c0",), "peer remove AAAA\n"),
    ("remove an unknown client", (), (), ("c0",), ""),
    (
        "remove one whose credential has ended",
        (client(0, ENDED),),
        (),
        ("c0",),
        "peer remove AAAA\n",
    ),
    (
        "another key",
        (client(0),),
        (client(0, TWO),),
        (),
        "peer put AAIA psk … allowed 16\npeer remove AAAA\n",
    ),
    (
        "a second credential",
        (client(0),),
        (client(0, Credential(id="a", public_key=key(0)), TWO),),
        (),
        "peer put AAAA allowed nothing\npeer put AAIA psk … allowed 16\n",
    ),
    (
        "a key that moves to another client is not removed",
        (client(0),),
        (client(1, Credential(id="a", public_key=key(0))),),
        ("c0",),
        "peer put AAAA psk none allowed 17\n",
    ),
]


@pytest.mark.parametrize(
    ("before", "put", "remove", "expected"),
    [case[1:] for case in CHANGES],
    ids=[case[0] for case in CHANGES],
)
def test_a_change_of_the_feed(
    before: tuple[Client, ...], put: tuple[Client, ...], remove: tuple[str, ...], expected: str
) -> None:
    change = Change(after=1, revision=2, reason="test", put=put, remove=remove)
    text = render(change_operations(clients(client(5), *before), change, NOW))
    assert _short(text) == expected


def _short(text: str) -> str:
    """Keys by their first characters, addresses by the offset in the pool."""
    for number in (0, 2):
        text = text.replace(key(number).text, key(number).text[:4])
    for offset in (16, 17):
        text = text.replace(f"10.200.0.{offset}/32 fd00:200::{offset:x}/128", str(offset))
    return text
