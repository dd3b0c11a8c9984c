"""nf_tables messages, nfnetlink_log messages and tc's text."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.netlink.attributes import attribute, nested
from anycastle.agent.takeover.nft import handover, messages, nflog
from anycastle.agent.takeover.path import EventKind
from anycastle.model.addresses import Endpoint

ENDPOINTS = st.builds(Endpoint, st.ip_addresses(), st.integers(1, 65535))
E4 = Endpoint(IPv4Address("198.51.100.7"), 40000)
E6 = Endpoint(IPv6Address("2001:db8::7"), 65535)
HEADER = bytes([5, 0, 0, 0])


# elements ------------------------------------------------------------------


def test_an_element_byte_for_byte() -> None:
    key = "10000180 0c000100 c6336407 9c400000"  # address, port, padding
    mark = "0c000280 08000100 0200400a"  # in the host's byte order
    elements = bytes.fromhex(f"24000380 20000180 {key} {mark}")
    names = attribute(1, b"t\0") + attribute(2, b"relay4\0")
    assert messages.put_elements("t", "relay4", {E4: 0x0A400002}) == HEADER + names + elements


@given(st.dictionaries(ENDPOINTS, st.integers(0, 2**32 - 1), max_size=50))
def test_elements_come_back(values: dict[Endpoint, int]) -> None:
    assert dict(messages.elements_of(messages.put_elements("t", "m", values))) == values


def test_an_answer_without_elements() -> None:
    assert list(messages.elements_of(messages.elements_request("t", "m"))) == []


def test_a_thousand_elements_fit_one_message() -> None:
    many = {Endpoint(E6.address + number, 1): 1 for number in range(1000)}
    assert len(messages.put_elements("t", "m", many)) < 65536


@given(ENDPOINTS)
def test_keys_come_back(endpoint: Endpoint) -> None:
    assert messages.key_endpoint(messages.endpoint_key(endpoint)) == endpoint


@pytest.mark.parametrize("length", [0, 4, 12, 24])
def test_another_sets_key(length: int) -> None:
    with pytest.raises(ValueError, match=f"has {length} bytes"):
        messages.key_endpoint(bytes(length))


def test_a_batch_opens_and_closes() -> None:
    (begin, *middle, end) = messages.batch([(1, 2, b"body")])
    assert middle == [(1, 2, b"body")]
    # The subsystem (10) is the big-endian last field of the header.
    assert (begin, end) == ((0x10, 0, bytes([0, 0, 0, 10])), (0x11, 0, bytes([0, 0, 0, 10])))


def test_chains_and_counters_of_our_table_only() -> None:
    chain = HEADER + attribute(1, b"t\0") + attribute(3, b"in-up0\0")
    assert messages.chain_of(chain, "t") == "in-up0"
    assert messages.chain_of(chain, "other") is None
    data = nested(4, attribute(1, struct.pack("!Q", 7)), attribute(2, struct.pack("!Q", 5)))
    counter = HEADER + attribute(1, b"t\0") + attribute(2, b"own\0") + data
    assert messages.counter_of(counter, "t") == ("own", 5)
    assert messages.counter_of(counter, "other") is None


# events --------------------------------------------------------------------


def ip4(source: Endpoint, options: bytes = b"", protocol: int = 17) -> bytes:
    head = bytes([0x45 + len(options) // 4]) + bytes(8) + bytes([protocol, 0, 0])
    return (
        head + source.address.packed + bytes(4) + options + struct.pack("!HH", source.port, 51820)
    )


def ip6(source: Endpoint, following: int = 17) -> bytes:
    head = bytes([0x60, 0, 0, 0, 0, 0, following, 64])
    return head + source.address.packed + bytes(16) + struct.pack("!HH", source.port, 51820)


def message(prefix: bytes, packet: bytes, number: int = 3) -> bytes:
    return (
        bytes(4)
        + attribute(1, bytes(4))
        + attribute(10, prefix + b"\0")
        + attribute(12, struct.pack("!I", number))
        + attribute(9, packet)
    )


@pytest.mark.parametrize("kind", EventKind)
@pytest.mark.parametrize(("endpoint", "packet"), [(E4, ip4(E4)), (E6, ip6(E6))])
def test_an_event(kind: EventKind, endpoint: Endpoint, packet: bytes) -> None:
    found = nflog.notice(message(kind.value.encode(), packet))
    assert found == nflog.Notice(kind, endpoint, 3)


def test_ip_options_stand_before_the_ports() -> None:
    assert nflog.source(ip4(E4, bytes(8))) == E4


@pytest.mark.parametrize(
    "body",
    [
        b"",
        bytes(4),
        message(b"else", ip4(E4)),
        message(b"foreign", b""),
        message(b"foreign", ip4(E4)[:21]),
        message(b"foreign", ip4(E4, protocol=6)),
        message(b"foreign", ip6(E6)[:39]),
        message(b"foreign", ip6(E6, following=44)),
        message(b"foreign", ip4(E4))[:-5],
    ],
)
def test_what_is_no_event(body: bytes) -> None:
    with pytest.raises(nflog.NoEvent):
        nflog.notice(body)


@given(st.binary(max_size=120))
def test_no_bytes_do_harm(body: bytes) -> None:
    with contextlib.suppress(nflog.NoEvent):
        nflog.notice(body)


@pytest.mark.parametrize(
    ("previous", "number", "lost"),
    [(None, 9, 0), (9, 10, 0), (9, 12, 2), (0xFFFFFFFF, 0, 0), (0xFFFFFFFF, 1, 1)],
)
def test_missing_numbers_are_losses(previous: int | None, number: int, lost: int) -> None:
    assert nflog.missed(previous, number) == lost


def test_subscribing() -> None:
    bind, configure = nflog.bind_bodies(5182, 68)
    assert bind == bytes([0, 0, 0x14, 0x3E]) + bytes.fromhex("0500010001000000")
    assert configure[4:] == bytes.fromhex(
        "0a000200"
        "00000044"
        "02000000"  # mode: 68 bytes of the packet
        "08000500"
        "00000001"  # as soon as there is one
        "06000600"
        "00010000"  # numbered
    )


# the inter-node path's end -------------------------------------------------


@pytest.mark.parametrize(
    ("uplinks", "chosen"),
    [
        ([], None),
        ([("up0", True), ("up1", True)], "up0"),
        ([("up0", False), ("up1", True)], "up1"),
        ([("up0", False), ("up1", False)], "up0"),
    ],
)
def test_the_uplink_that_gets_relayed_packets(
    uplinks: list[tuple[str, bool]], chosen: str | None
) -> None:
    assert handover.target(uplinks) == chosen


ADDRESSES = (IPv4Address("192.0.2.1"), IPv6Address("2001:db8:a::1"))


def test_the_filters() -> None:
    assert handover.filters("fabric0", "up0", ADDRESSES, 51820).splitlines() == [
        (
            "filter add dev fabric0 ingress protocol ip pref 5182 u32 match ip dst 192.0.2.1/32 "
            "match ip protocol 17 0xff match ip dport 51820 0xffff "
            "action mirred ingress redirect dev up0"
        ),
        (
            "filter add dev fabric0 ingress protocol ipv6 pref 5183 u32 match ip6 dst "
            "2001:db8:a::1/128 match ip6 protocol 17 0xff match ip6 dport 51820 0xffff "
            "action mirred ingress redirect dev up0"
        ),
    ]


SHOWN = """\
filter protocol ip pref 5182 u32 chain 0\x20
filter protocol ip pref 5182 u32 chain 0 fh 800: ht divisor 1\x20
filter protocol ip pref 5182 u32 chain 0 fh 800::800 order 2048 key ht 800 bkt 0 terminal
  match c0000201/ffffffff at 16
\taction order 1: mirred (Ingress Redirect to device up0) stolen
\tindex 1 ref 1 bind 1

filter protocol ipv6 pref 5183 u32 chain 0\x20
filter protocol ipv6 pref 5183 u32 chain 0 fh 801: ht divisor 1\x20
filter protocol ipv6 pref 5183 u32 chain 0 fh 801::800 order 2048 key ht 801 bkt 0 terminal
  match 20010db8/ffffffff at 24
\taction order 1: mirred (Ingress Redirect to device up0) stolen
\tindex 2 ref 1 bind 1
"""


def test_filters_that_are_in_place() -> None:
    assert handover.in_place(SHOWN, "up0", ADDRESSES)
    assert not handover.in_place(SHOWN, "up1", ADDRESSES)
    assert not handover.in_place(SHOWN, "up0", ADDRESSES[:1])
    assert not handover.in_place("", "up0", ADDRESSES)
    assert not handover.in_place(SHOWN.replace("device up0", "device *"), "up0", ADDRESSES)


def test_only_own_filters_are_removed() -> None:
    assert handover.removal("fabric0", 6) == [
        *("filter", "del", "dev", "fabric0", "ingress"),
        *("protocol", "ipv6", "pref", "5183"),
    ]
