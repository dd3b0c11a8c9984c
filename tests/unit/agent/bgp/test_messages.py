"""BGP messages in bytes and back, and what a broken one does."""

from __future__ import annotations

import contextlib
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.bgp import attributes as path
from anycastle.agent.bgp import messages
from anycastle.agent.bgp.attributes import PathAttributes
from anycastle.agent.bgp.capabilities import Capabilities, GracefulRestart
from anycastle.agent.bgp.messages import (
    Decoder,
    Keepalive,
    Message,
    Notification,
    Open,
    RouteRefresh,
    Update,
    decode,
    encode,
)
from anycastle.agent.bgp.wire import HEADER_SIZE, Afi, BgpError, ErrorCode, encode_prefixes

u16 = st.integers(0, 0xFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
families = st.sets(st.sampled_from(Afi)).map(lambda found: tuple(sorted(found)))
prefixes4 = st.builds(lambda a, n: IPv4Network((a, n), strict=False), u32, st.integers(0, 32))
prefixes6 = st.builds(
    lambda a, n: IPv6Network((a, n), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128)
)
capabilities = st.builds(
    Capabilities,
    asn=st.none() | st.integers(1, 0xFFFFFFFF),
    families=families,
    route_refresh=st.booleans(),
    graceful_restart=st.none()
    | st.builds(GracefulRestart, st.integers(0, 4095), st.booleans(), families),
)


def several(strategy: st.SearchStrategy[object], most: int = 8) -> st.SearchStrategy[object]:
    return st.lists(strategy, max_size=most).map(tuple)


def path_attributes(hops: st.SearchStrategy[object]) -> st.SearchStrategy[PathAttributes]:
    return st.builds(
        PathAttributes,
        next_hop=hops,
        local_pref=u32,
        med=st.none() | u32,
        origin=st.integers(0, 2),
        as_path=several(u32),
        communities=several(st.tuples(u16, u16), 80),
        large_communities=several(st.tuples(u32, u32, u32), 40),
        originator=st.none() | u32.map(IPv4Address),
        cluster_list=several(u32.map(IPv4Address)),
    )


hops4 = u32.map(IPv4Address)
hops6 = st.integers(0, 2**128 - 1).map(IPv6Address)
some4 = st.lists(prefixes4, min_size=1, max_size=20).map(tuple)
some6 = st.lists(prefixes6, min_size=1, max_size=20).map(tuple)
updates = st.one_of(
    st.builds(Update, announced=some4, attributes=path_attributes(hops4)),
    st.builds(Update, announced=some6, attributes=path_attributes(hops6)),
    st.builds(Update, withdrawn=some4 | some6),
    st.builds(Update, end_of_rib=st.sampled_from(Afi)),
)
any_message = st.one_of(
    st.just(Keepalive()),
    st.builds(Notification, st.integers(0, 255), st.integers(0, 255), st.binary(max_size=50)),
    st.builds(RouteRefresh, st.sampled_from(Afi)),
    updates,
)


@given(st.lists(any_message, max_size=6), st.data())
def test_a_stream_of_messages_comes_back_however_it_is_cut(
    sent: list[Message], data: st.DataObject
) -> None:
    stream = b"".join(map(encode, sent))
    decoder, received = Decoder(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received += list(decoder.feed(stream[:size]))
        stream = stream[size:]
    assert received == sent


@given(st.integers(1, 0xFFFFFFFF), st.integers(3, 65535), st.integers(1, 2**32 - 1), capabilities)
def test_open_comes_back(asn: int, hold: int, identifier: int, able: Capabilities) -> None:
    wanted = able.asn or (asn if asn < 65536 else 23456)
    (received,) = Decoder().feed(encode(Open(asn, hold, IPv4Address(identifier), able)))
    assert received == Open(wanted, hold, IPv4Address(identifier), able)


@given(st.integers(0, 255), st.binary(max_size=200))
def test_noise_raises_nothing_but_bgp_errors(kind: int, body: bytes) -> None:
    with contextlib.suppress(BgpError):
        decode(kind, body)


@given(st.binary(max_size=120))
def test_noise_as_attributes_never_announces(noise: bytes) -> None:
    body = (
        b"\0\0"
        + struct.pack("!H", len(noise))
        + noise
        + encode_prefixes([IPv4Network("10.0.0.0/8")])
    )
    try:
        update = decode(2, body)
    except BgpError:
        return
    assert isinstance(update, Update)
    assert IPv4Network("10.0.0.0/8") in update.announced + update.withdrawn
    assert bool(update.problems) == (IPv4Network("10.0.0.0/8") in update.withdrawn)


def test_known_bytes_of_an_update() -> None:
    """Worked out by hand from RFC 4271 4.3 and RFC 8092 3."""
    attributes = PathAttributes(
        next_hop=IPv4Address("10.200.0.2"),
        local_pref=1,
        med=2,
        large_communities=((64512, 0xCB007109, 4500),),
    )
    encoded = encode(Update(announced=(IPv4Network("10.200.0.77/32"),), attributes=attributes))
    attribute_fields = """
        40 01 01 00  40 02 00  40 03 04 0ac80002  80 04 04 00000002  40 05 04 00000001
        c0 20 0c 0000fc00 cb007109 00001194
    """
    header = "ff" * 16 + "0047 02 0000 002b"
    assert encoded == bytes.fromhex(header + attribute_fields + "20 0ac8004d")


@pytest.mark.parametrize(
    ("kind", "body", "code", "subcode"),
    [
        (9, b"", ErrorCode.HEADER, 3),
        (4, b"x", ErrorCode.HEADER, 2),
        (1, b"\x04" + bytes(8), ErrorCode.HEADER, 2),
        (1, b"\x03" + bytes(9), ErrorCode.OPEN, 1),
        (1, b"\x04\0\1\0\1" + bytes(5), ErrorCode.OPEN, 6),
        (1, b"\x04\0\1\0\3" + bytes(5), ErrorCode.OPEN, 3),
        (1, b"\x04\0\1\0\3\1\1\1\1\x09", ErrorCode.OPEN, 0),
        (1, b"\x04\0\1\0\3\1\1\1\1\x03\x09\x01x", ErrorCode.OPEN, 4),
        (2, b"\0", ErrorCode.UPDATE, 1),
        (2, b"\0\0\0\x09", ErrorCode.UPDATE, 1),
        (2, b"\0\0\0\0\x21\1\1\1\1\1", ErrorCode.UPDATE, 10),
        (2, b"\0\0\0\x07\x80\x0e\x04\0\1\1\7", ErrorCode.UPDATE, 9),
        (2, b"\0\0\0\x06\x80\x0f\x03\0\7\1", ErrorCode.UPDATE, 9),
        (2, b"\0\0\0\x0c" + b"\x80\x0f\x03\0\2\1" * 2, ErrorCode.UPDATE, 1),
    ],
)
def test_what_ends_the_session(kind: int, body: bytes, code: ErrorCode, subcode: int) -> None:
    with pytest.raises(BgpError) as caught:
        decode(kind, body)
    assert (caught.value.code, caught.value.subcode) == (code, subcode)


def test_a_lost_stream_is_an_error() -> None:
    with pytest.raises(BgpError, match="marker"):
        list(Decoder().feed(b"\0" * 19))
    with pytest.raises(BgpError, match="5000 bytes"):
        list(Decoder().feed(b"\xff" * 16 + struct.pack("!HB", 5000, 4)))


PREFIX = IPv4Network("10.200.0.77/32")
GOOD = path.encode(PathAttributes(next_hop=IPv4Address("10.200.0.2"), local_pref=1))


@pytest.mark.parametrize(
    ("field", "problem"),
    [
        (GOOD.replace(b"\x40\x01\x01\x00", b"\x40\x01\x01\x07"), "ORIGIN"),
        (GOOD.replace(b"\x40\x01\x01\x00", b""), "ORIGIN is missing"),
        (GOOD.replace(b"\x40\x05\x04\0\0\0\1", b""), "LOCAL_PREF is missing"),
        (GOOD.replace(b"\x40\x05\x04\0\0\0\1", b"\x40\x05\x03\0\0\1"), "LOCAL_PREF: 3 bytes"),
        (GOOD.replace(b"\x40\x05", b"\xc0\x05"), "LOCAL_PREF has flags"),
        (GOOD + b"\xc0\x20\x0b" + bytes(11), "LARGE_COMMUNITIES: 11 bytes"),
        (GOOD + b"\xc0\x20\x40", "attribute 32 is cut off"),
        (GOOD + b"\xc0", "header is cut off"),
    ],
)
def test_a_wrong_attribute_counts_as_withdrawal(field: bytes, problem: str) -> None:
    """RFC 7606: the session lives on."""
    body = b"\0\0" + struct.pack("!H", len(field)) + field + encode_prefixes([PREFIX])
    update = decode(2, body)
    assert isinstance(update, Update)
    assert (update.announced, update.withdrawn) == ((), (PREFIX,))
    assert problem in " ".join(update.problems)


def test_the_first_of_two_equal_attributes_counts() -> None:
    field = GOOD + b"\x40\x05\x04\0\0\0\7"
    update = decode(2, b"\0\0" + struct.pack("!H", len(field)) + field + encode_prefixes([PREFIX]))
    assert isinstance(update, Update)
    assert update.attributes is not None
    assert update.attributes.local_pref == 1


def test_ipv6_next_hop_with_link_local_address() -> None:
    """RFC 2545 3: 32 bytes, the global address first."""
    hop, local = IPv6Address("fd00:67::1"), IPv6Address("fe80::1")
    prefix = ip_network("fd00:200::77/128")
    reach = (
        struct.pack("!HBB", 2, 1, 32)
        + hop.packed
        + local.packed
        + b"\0"
        + encode_prefixes([prefix])
    )
    field = GOOD + bytes((0x80, 14, len(reach))) + reach
    update = decode(2, b"\0\0" + struct.pack("!H", len(field)) + field)
    assert isinstance(update, Update)
    assert update.announced == (prefix,)


def test_an_extended_parameter_length_is_read() -> None:
    """RFC 9072."""
    value = bytes((65, 4)) + struct.pack("!I", 70000)
    parameter = bytes((2,)) + struct.pack("!H", len(value)) + value
    body = struct.pack("!BHH", 4, 23456, 90) + bytes((1, 1, 1, 1, 255, 255))
    body += struct.pack("!H", len(parameter)) + parameter
    received = decode(1, body)
    assert isinstance(received, Open)
    assert received.asn == 70000


def test_what_does_not_fit_is_refused() -> None:
    many = tuple(IPv4Network((n << 8, 32)) for n in range(1000))
    with pytest.raises(ValueError, match="does not fit 4096"):
        encode(Update(withdrawn=many))
    assert len(messages.KEEPALIVE) == HEADER_SIZE
