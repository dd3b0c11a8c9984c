"""Messages of the kernel's WireGuard family."""

from __future__ import annotations

import contextlib
import socket
import struct
from ipaddress import IPv4Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.netlink.attributes import MalformedAttribute, attribute, nested, walk
from anycastle.agent.wireguard import netlink
from anycastle.agent.wireguard.edge import (
    BATCH,
    DeviceState,
    Initiate,
    PeerConfig,
    PeerSample,
    PutPeer,
    Quiet,
    RemovePeer,
    SetDevice,
    clamp,
    in_order,
)
from anycastle.model.addresses import Endpoint, Network, nth
from anycastle.model.codec import Key
from tests.support.node import SERVICE_KEY, key

NAME = b"\x08\x00\x02\x00wg0\x00"


def dumped_peer(
    peer: PeerConfig, sample: PeerSample | None = None, *, padded: bool = False
) -> bytes:
    """A peer as get_peer() of drivers/net/wireguard/netlink.c writes it; sample None: continued.

    padded: with the empty attributes by which some machines align 64-bit values.
    """
    parts = [attribute(1, peer.public_key)]
    if sample is not None:
        seconds = int(sample.latest_handshake)
        nanos = round((sample.latest_handshake - seconds) * 1e9)
        pad = attribute(0, b"") if padded else b""
        parts += [
            attribute(2, peer.preshared_key or bytes(32)),
            attribute(6, struct.pack("=qq", seconds, nanos)),
            attribute(5, struct.pack("=H", peer.keepalive)),
            pad + attribute(8, struct.pack("=Q", sample.sent)),
            pad + attribute(7, struct.pack("=Q", sample.received)),
            attribute(10, struct.pack("=I", 1)),
        ]
        parts += [attribute(4, sockaddr(sample.endpoint))] if sample.endpoint else []
    if peer.allowed_ips:
        parts.append(nested(9, *map(dumped_ip, peer.allowed_ips)))
    return nested(0, *parts)


def dumped_ip(network: Network) -> bytes:
    family = socket.AF_INET if network.version == 4 else socket.AF_INET6
    # The kernel writes the prefix length before the family and address.
    return nested(
        0,
        attribute(3, bytes([network.prefixlen])),
        attribute(1, struct.pack("=H", family)),
        attribute(2, network.network_address.packed),
    )


def sockaddr(endpoint: Endpoint) -> bytes:
    port = struct.pack("!H", endpoint.port)
    if endpoint.address.version == 4:
        return struct.pack("=H", socket.AF_INET) + port + endpoint.address.packed + bytes(8)
    return struct.pack("=H", socket.AF_INET6) + port + bytes(4) + endpoint.address.packed + bytes(4)


def device(*peers: bytes) -> bytes:
    return b"".join(
        [
            attribute(6, struct.pack("=H", 51820)),
            attribute(7, struct.pack("=I", 7)),
            attribute(1, struct.pack("=I", 3)),
            attribute(2, b"wg0\0"),
            attribute(3, clamp(SERVICE_KEY)),
            nested(8, *peers),
        ]
    )


def test_a_request_in_bytes() -> None:
    """The whole of one peer, against the layout of include/uapi/linux/wireguard.h."""
    operation = PutPeer(PeerConfig(key(1), None, (ip_network("10.200.0.16/32"),)))
    (body,) = netlink.set_device("wg0", [operation])
    expected = (
        NAME
        + bytes.fromhex(
            "78000880"  # PEERS, 120 bytes
            "74000080"  # a peer, 116 bytes
            "24000100" + key(1).hex() + "24000200" + "00" * 32 + "08000300"
            "02000000"  # replace allowed IPs
            "20000980"  # ALLOWEDIPS
            "1c000080"
            "060001000200"
            "0000"
            "080002000ac80010"
            "0500030020000000"
        )
    )
    assert body == expected


def test_a_removal_never_makes_a_peer() -> None:
    (body,) = netlink.set_device("wg0", [RemovePeer(key(1))])
    assert body == NAME + nested(8, nested(0, attribute(1, key(1)), attribute(3, b"\5\0\0\0")))


def test_settings_are_sent_alone_and_the_key_clamped() -> None:
    bodies = list(netlink.set_device("wg0", [SetDevice(SERVICE_KEY, 51820, 7), RemovePeer(key(1))]))
    assert bodies[0] == NAME + attribute(3, clamp(SERVICE_KEY)) + attribute(
        6, struct.pack("=H", 51820)
    ) + attribute(7, struct.pack("=I", 7))
    assert len(bodies) == 2


def _peers_in(body: bytes) -> list[bytes]:
    (peers,) = ((first, last) for kind, first, last in walk(body) if kind == 8)
    return [body[first:last] for _, first, last in walk(body, *peers)]


def test_messages_hold_a_batch_of_peers() -> None:
    operations = [PutPeer(PeerConfig(key(number))) for number in range(2 * BATCH + 1)]
    bodies = list(netlink.set_device("wg0", operations))
    assert [len(_peers_in(body)) for body in bodies] == [BATCH, BATCH, 1]


def test_a_peer_with_very_many_allowed_ips_is_split() -> None:
    pool = ip_network("10.0.0.0/8")
    ips = tuple(ip_network(nth(pool, number)) for number in range(5000))
    bodies = list(netlink.set_device("wg0", [PutPeer(PeerConfig(key(1), None, ips))]))
    assert all(len(body) < 65536 for body in bodies)
    entries = [entry for body in bodies for entry in _peers_in(body)]
    replacing = [any(kind == 3 for kind, _, _ in walk(entry)) for entry in entries]
    assert replacing == [True] + [False] * (len(entries) - 1), "only the first clears the list"
    state = netlink.device_state(nested(8, nested(0, entry)) for entry in entries)
    assert state.peers[key(1)].allowed_ips == ips


def test_a_reset_is_one_message() -> None:
    peer = PeerConfig(key(1), key(2), (ip_network("10.200.0.16/32"),))
    removal, addition = _peers_in(netlink.reset_peer("wg0", peer))
    flags = {kind: removal[first:last] for kind, first, last in walk(removal)}
    assert flags == {1: key(1), 3: b"\5\0\0\0"}
    added = {kind: addition[first:last] for kind, first, last in walk(addition)}
    assert (added[2], added[5], added[3]) == (key(2), b"\0\0", b"\2\0\0\0")
    assert 4 not in added


UPDATE_ONLY = attribute(3, b"\4\0\0\0")


@pytest.mark.parametrize("address", ["203.0.113.1", "2001:db8::1"])
def test_an_initiation_switches_the_keepalive_on_and_off(address: str) -> None:
    there = Endpoint(ip_address(address), 4000)
    (body,) = netlink.set_device("wg0", [Initiate(PeerConfig(key(1)), there)])
    head = attribute(1, key(1)) + UPDATE_ONLY
    on = nested(0, head, attribute(4, sockaddr(there)), attribute(5, b"\1\0"))
    assert body == NAME + nested(8, on, nested(0, head, attribute(5, b"\0\0")))


def test_an_initiation_anew_is_one_message() -> None:
    there, peer = Endpoint(IPv4Address("203.0.113.1"), 4000), PeerConfig(key(1), key(2))
    (alone,) = netlink.set_device("wg0", [Initiate(peer, there)])
    several = [Initiate(peer, there, anew=True)] * (BATCH // 4 + 1)
    bodies = list(netlink.set_device("wg0", several))
    assert len(bodies) == 2
    assert bodies[1].endswith(alone[len(NAME) + 4 :])
    # Each message begins with a removal: no peer's entries are in two of them.
    for body in bodies:
        assert body[len(NAME) + 8 :].startswith(attribute(1, key(1)) + attribute(3, b"\5\0\0\0"))


def test_quiet_touches_nothing_but_the_keepalive() -> None:
    (body,) = netlink.set_device("wg0", [Quiet(key(1))])
    entry = nested(0, attribute(1, key(1)), UPDATE_ONLY, attribute(5, b"\0\0"))
    assert body == NAME + nested(8, entry)


def test_a_keepalive_is_read() -> None:
    peer = PeerConfig(key(1), keepalive=25)
    body = device(dumped_peer(peer, PeerSample(key(1), None, 0.0, 0, 0)))
    assert netlink.device_state([body]).peers == {key(1): peer}


def test_a_peer_too_large_to_reset_is_refused() -> None:
    ips = tuple(ip_network(nth(ip_network("10.0.0.0/8"), number)) for number in range(600))
    with pytest.raises(ValueError, match="600 allowed IPs"):
        netlink.reset_peer("wg0", PeerConfig(key(1), None, ips))


@pytest.mark.parametrize("padded", [False, True], ids=["fixed layout", "walked"])
def test_activity_is_read(padded: bool) -> None:
    endpoint = Endpoint(IPv4Address("203.0.113.9"), 40000)
    expected = [
        PeerSample(key(1), endpoint, 1.9e9 + 0.25, 1000, 2000),
        PeerSample(key(2), None, 0.0, 0, 0),
    ]
    peers = [dumped_peer(PeerConfig(one.public_key), one, padded=padded) for one in expected]
    assert netlink.samples([device(*peers)]) == expected


def test_a_peer_that_goes_on_in_the_next_message_is_one_peer() -> None:
    first = PeerConfig(key(1), key(5), (ip_network("10.200.0.16/32"),))
    rest = PeerConfig(key(1), None, (ip_network("fd00:200::10/128"),))
    sample = PeerSample(key(1), None, 1.0, 1, 1)
    bodies = [device(dumped_peer(first, sample)), device(dumped_peer(rest))]
    assert netlink.samples(bodies) == [sample]
    assert netlink.device_state(bodies) == DeviceState(
        51820,
        7,
        clamp(SERVICE_KEY),
        {key(1): PeerConfig(key(1), key(5), (*first.allowed_ips, *rest.allowed_ips))},
    )


def test_a_device_without_a_key_has_none() -> None:
    assert netlink.device_state([attribute(3, bytes(32))]).private_key is None


def test_a_cut_off_dump_is_an_error() -> None:
    body = device(dumped_peer(PeerConfig(key(1)), PeerSample(key(1), None, 1.0, 1, 1)))
    with pytest.raises(MalformedAttribute, match="bytes"):
        netlink.samples([body[:-8]])


# properties ----------------------------------------------------------------

keys = st.binary(min_size=32, max_size=32).map(Key)
networks: st.SearchStrategy[Network] = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda raw: ip_network((raw, 32))),
    st.integers(0, 2**128 - 1).map(lambda raw: ip_network((raw, 128))),
)
peers = st.builds(
    lambda public, psk, ips: PeerConfig(public, psk, in_order(ips)),
    keys,
    st.one_of(st.none(), keys.filter(any)),
    st.sets(networks, max_size=4),
)
endpoints = st.builds(
    Endpoint, st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)), st.integers(1, 65535)
)
numbers = st.integers(0, 2**63)
activity = st.tuples(
    st.one_of(st.none(), endpoints), st.integers(0, 2**31).map(float), numbers, numbers
)


@given(st.lists(peers, unique_by=lambda peer: peer.public_key, max_size=6))
def test_what_is_sent_is_what_a_dump_says(them: list[PeerConfig]) -> None:
    """Requests and dumps have the same layout, so the one can be read as the other."""
    bodies = netlink.set_device("wg0", [PutPeer(peer) for peer in them])
    assert netlink.device_state(bodies).peers == {peer.public_key: peer for peer in them}


@given(peers, activity, st.booleans())
def test_both_readers_agree(
    peer: PeerConfig, did: tuple[Endpoint | None, float, int, int], padded: bool
) -> None:
    sample = PeerSample(peer.public_key, *did)
    assert netlink.samples([device(dumped_peer(peer, sample, padded=padded))]) == [sample]


@given(st.binary(max_size=200))
def test_any_other_dump_is_read_or_refused(data: bytes) -> None:
    found: list[PeerSample] = []
    with contextlib.suppress(MalformedAttribute):
        found = netlink.samples([data])
    assert found == []
