"""Messages of the kernel's WireGuard family (include/uapi/linux/wireguard.h), pure.

A body here starts after `struct genlmsghdr`. Peers are packed with `struct`, many
to a message: one by one through a general encoder costs ten times as much. A dump
is read with a fixed layout, in the order in which get_peer() in
drivers/net/wireguard/netlink.c writes it, and attribute by attribute only where a
peer does not look like that.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import islice

from anycastle.agent.netlink.attributes import attribute, nested, walk
from anycastle.agent.wireguard.edge import (
    BATCH,
    DeviceOperation,
    DeviceState,
    Initiate,
    PeerConfig,
    PeerOperation,
    PeerSample,
    PutPeer,
    RemovePeer,
    SetDevice,
    clamp,
    in_order,
    some_key,
)
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.codec import Key

FAMILY_NAME = "wireguard"
VERSION = 1
WG_CMD_GET_DEVICE, WG_CMD_SET_DEVICE = 0, 1

_IFNAME, _PRIVATE_KEY, _FLAGS, _LISTEN_PORT, _FWMARK, _PEERS = 2, 3, 5, 6, 7, 8
_REPLACE_PEERS = 1
_PUBLIC_KEY, _PRESHARED_KEY, _PEER_FLAGS, _ENDPOINT, _KEEPALIVE = 1, 2, 3, 4, 5
_HANDSHAKE_TIME, _RX_BYTES, _TX_BYTES, _ALLOWED_IPS, _PROTOCOL_VERSION = 6, 7, 8, 9, 10
_REMOVE_ME, _REPLACE_ALLOWED_IPS, _UPDATE_ONLY = 1, 2, 4
_IP_FAMILY, _IP_ADDRESS, _IP_MASK = 1, 2, 3

_U16, _U32 = struct.Struct("=H"), struct.Struct("=I")
_TIME = struct.Struct("=qq")
_IPV4 = struct.Struct("=IHHI4sIBxxx")
_IPV6 = struct.Struct("=IHHI16sIBxxx")
_NO_KEY = bytes(32)
_PER_ENTRY = 512
"""Allowed IPs of a peer in one entry; a peer with more gets several."""
_MESSAGE_BYTES = 60_000
"""Of peers in a message: an attribute, and so their list, ends at 65,535."""


def _head(length: int, kind: int) -> int:
    """The four bytes before an attribute's payload, as one number."""
    return _U32.unpack(struct.pack("=HH", length, kind))[0]  # type: ignore[no-any-return]


# requests ------------------------------------------------------------------


def get_device(device: str) -> bytes:
    """Body of WG_CMD_GET_DEVICE, a dump."""
    return _device_name(device)


def flush_peers(device: str) -> bytes:
    """Body of WG_CMD_SET_DEVICE that removes every peer."""
    return _device_name(device) + attribute(_FLAGS, _U32.pack(_REPLACE_PEERS))


def set_device(device: str, operations: Iterable[DeviceOperation]) -> Iterator[bytes]:
    """Bodies of WG_CMD_SET_DEVICE, at most BATCH peers each, in the order of the operations."""
    entries: list[bytes] = []
    size = 0
    for operation in operations:
        if isinstance(operation, SetDevice):
            yield from _peers(device, entries)
            yield _device_name(device) + _settings(operation)
            entries, size = [], 0
            continue
        group = list(_entries(operation))
        if len(entries) + len(group) > BATCH:
            # An operation's entries belong together, where they fit into a message.
            yield from _peers(device, entries)
            entries, size = [], 0
        for entry in group:
            if len(entries) == BATCH or size + len(entry) > _MESSAGE_BYTES:
                yield from _peers(device, entries)
                entries, size = [], 0
            entries.append(entry)
            size += len(entry)
    yield from _peers(device, entries)


def reset_peer(device: str, peer: PeerConfig) -> bytes:
    """Body of WG_CMD_SET_DEVICE that removes the peer and adds it, in one message.

    Raises ValueError for a peer whose allowed IPs don't fit one message.
    """
    added = list(_put_entries(PutPeer(peer), keepalive=0))
    if len(added) > 1:
        raise ValueError(
            f"peer {peer.public_key.text} has {len(peer.allowed_ips)} allowed IPs, "
            f"at most {_PER_ENTRY} can be reset at once"
        )
    return _device_name(device) + nested(_PEERS, _remove_entry(peer.public_key), *added)


def _device_name(device: str) -> bytes:
    return attribute(_IFNAME, device.encode() + b"\0")


def _settings(operation: SetDevice) -> bytes:
    parts = []
    if operation.private_key is not None:
        parts.append(attribute(_PRIVATE_KEY, clamp(operation.private_key)))
    if operation.listen_port is not None:
        parts.append(attribute(_LISTEN_PORT, _U16.pack(operation.listen_port)))
    if operation.fwmark is not None:
        parts.append(attribute(_FWMARK, _U32.pack(operation.fwmark)))
    return b"".join(parts)


def _peers(device: str, entries: Sequence[bytes]) -> Iterator[bytes]:
    if entries:
        yield _device_name(device) + nested(_PEERS, *entries)


def _entries(operation: PeerOperation) -> Iterator[bytes]:
    if isinstance(operation, RemovePeer):
        yield _remove_entry(operation.public_key)
    elif isinstance(operation, PutPeer):
        yield from _put_entries(operation)
    elif isinstance(operation, Initiate):
        yield from _initiate_entries(operation)
    else:
        yield _update_entry(operation.public_key, _keepalive(0))


def _initiate_entries(operation: Initiate) -> Iterator[bytes]:
    """set_peer() of the kernel sets the endpoint before it looks at the keepalive."""
    key = operation.peer.public_key
    if operation.anew:
        yield _remove_entry(key)
        yield from _put_entries(PutPeer(operation.peer))
    where = attribute(_ENDPOINT, _sockaddr(operation.endpoint))
    yield _update_entry(key, where, _keepalive(1))
    yield _update_entry(key, _keepalive(0))


def _update_entry(public_key: Key, *attributes: bytes) -> bytes:
    """Of a peer that exists: a missing one is not made."""
    flags = attribute(_PEER_FLAGS, _U32.pack(_UPDATE_ONLY))
    return nested(0, attribute(_PUBLIC_KEY, public_key), flags, *attributes)


def _keepalive(seconds: int) -> bytes:
    return attribute(_KEEPALIVE, _U16.pack(seconds))


def _sockaddr(endpoint: Endpoint) -> bytes:
    """A struct sockaddr_in or sockaddr_in6."""
    port, packed = struct.pack("!H", endpoint.port), endpoint.address.packed
    if endpoint.address.version == 4:
        return struct.pack("=H", socket.AF_INET) + port + packed + bytes(8)
    return struct.pack("=H", socket.AF_INET6) + port + bytes(4) + packed + bytes(4)


def _remove_entry(public_key: Key) -> bytes:
    flags = _U32.pack(_REMOVE_ME | _UPDATE_ONLY)
    return nested(0, attribute(_PUBLIC_KEY, public_key), attribute(_PEER_FLAGS, flags))


def _put_entries(operation: PutPeer, keepalive: int | None = None) -> Iterator[bytes]:
    peer = operation.peer
    key = attribute(_PUBLIC_KEY, peer.public_key)
    ips = iter(peer.allowed_ips if operation.allowed_ips else ())
    parts = [key]
    if operation.preshared_key:
        parts.append(attribute(_PRESHARED_KEY, peer.preshared_key or _NO_KEY))
    if keepalive is not None:
        parts.append(_keepalive(keepalive))
    if operation.allowed_ips:
        parts.append(attribute(_PEER_FLAGS, _U32.pack(_REPLACE_ALLOWED_IPS)))
        parts.append(_allowed_ips(islice(ips, _PER_ENTRY)))
    yield nested(0, *parts)
    while more := list(islice(ips, _PER_ENTRY)):
        yield nested(0, key, _allowed_ips(more))


def _allowed_ips(networks: Iterable[Network]) -> bytes:
    return nested(_ALLOWED_IPS, *(_allowed_ip(network) for network in networks))


_IP_HEADS = {
    4: (_IPV4, _head(_IPV4.size + 4, 0x8000), socket.AF_INET, _head(8, _IP_ADDRESS)),
    6: (_IPV6, _head(_IPV6.size + 4, 0x8000), socket.AF_INET6, _head(20, _IP_ADDRESS)),
}
_FAMILY_HEAD, _MASK_HEAD = _head(6, _IP_FAMILY), _head(5, _IP_MASK)


def _allowed_ip(network: Network) -> bytes:
    layout, head, family, address_head = _IP_HEADS[network.version]
    return _U32.pack(head) + layout.pack(
        _FAMILY_HEAD,
        family,
        0,
        address_head,
        network.network_address.packed,
        _MASK_HEAD,
        network.prefixlen,
    )


# answers -------------------------------------------------------------------

_PEER = struct.Struct("=I32sI32sIqqIHxxIQIQII")
"""A peer's attributes up to PROTOCOL_VERSION, each with its head."""
_PEER_HEADS = (
    _head(36, _PUBLIC_KEY),
    _head(36, _PRESHARED_KEY),
    _head(20, _HANDSHAKE_TIME),
    _head(6, _KEEPALIVE),
    _head(12, _TX_BYTES),
    _head(12, _RX_BYTES),
    _head(8, _PROTOCOL_VERSION),
)
_ENDPOINT4, _ENDPOINT6 = struct.Struct("=IHH4s"), struct.Struct("=IHHI16s")
_ENDPOINT4_HEAD, _ENDPOINT6_HEAD = _head(20, _ENDPOINT), _head(32, _ENDPOINT)


def samples(bodies: Iterable[bytes]) -> list[PeerSample]:
    """The peers' activity from the bodies of a dump. Raises MalformedAttribute."""
    found = []
    for body in bodies:
        for start, end in _peer_ranges(body):
            sample = _fixed_sample(body, start, end) or _walked_sample(body, start, end)
            # A peer that goes on in the next message repeats its key, nothing else.
            if sample is not None:
                found.append(sample)
    return found


def device_state(bodies: Iterable[bytes]) -> DeviceState:
    """The configuration from the bodies of a dump. Raises MalformedAttribute."""
    port, mark, private_key = 0, 0, None
    peers: dict[Key, PeerConfig] = {}
    for body in bodies:
        for kind, first, last in walk(body):
            if kind == _LISTEN_PORT:
                (port,) = _U16.unpack_from(body, first)
            elif kind == _FWMARK:
                (mark,) = _U32.unpack_from(body, first)
            elif kind == _PRIVATE_KEY:
                private_key = some_key(body[first:last])
        for start, end in _peer_ranges(body):
            _read_config(body, start, end, peers)
    return DeviceState(port, mark, private_key, peers)


def _peer_ranges(body: bytes) -> Iterator[tuple[int, int]]:
    for kind, first, last in walk(body):
        if kind == _PEERS:
            for _, start, end in walk(body, first, last):
                yield start, end


def _fixed_sample(body: bytes, start: int, end: int) -> PeerSample | None:
    """None: the peer is laid out in another way."""
    if end - start < _PEER.size:
        return None
    fields = _PEER.unpack_from(body, start)
    h_key, key, h_psk, _, h_time, seconds, nanos, h_alive, _, h_tx, tx, h_rx, rx, h_ver, _ = fields
    if (h_key, h_psk, h_time, h_alive, h_tx, h_rx, h_ver) != _PEER_HEADS:
        return None
    endpoint = _fixed_endpoint(body, start + _PEER.size, end)
    return PeerSample(Key(key), endpoint, seconds + nanos / 1e9, rx, tx)


def _fixed_endpoint(body: bytes, start: int, end: int) -> Endpoint | None:
    head = _U32.unpack_from(body, start)[0] if start + 4 <= end else 0
    if head in (_ENDPOINT4_HEAD, _ENDPOINT6_HEAD):
        return _endpoint(body, start + 4)
    return None


def _endpoint(body: bytes, first: int) -> Endpoint:
    """A struct sockaddr_in or sockaddr_in6; the port is in network order."""
    family, port = (
        struct.unpack_from("=H", body, first)[0],
        struct.unpack_from("!H", body, first + 2)[0],
    )
    if family == socket.AF_INET:
        return Endpoint(IPv4Address(body[first + 4 : first + 8]), port)
    return Endpoint(IPv6Address(body[first + 8 : first + 24]), port)


def _walked_sample(body: bytes, start: int, end: int) -> PeerSample | None:
    fields = {kind: (first, last) for kind, first, last in walk(body, start, end)}
    if _HANDSHAKE_TIME not in fields:
        return None
    seconds, nanos = _TIME.unpack_from(body, fields[_HANDSHAKE_TIME][0])
    first, last = fields[_PUBLIC_KEY]
    return PeerSample(
        Key(body[first:last]),
        _endpoint(body, fields[_ENDPOINT][0]) if _ENDPOINT in fields else None,
        seconds + nanos / 1e9,
        struct.unpack_from("=Q", body, fields[_RX_BYTES][0])[0],
        struct.unpack_from("=Q", body, fields[_TX_BYTES][0])[0],
    )


def _read_config(body: bytes, start: int, end: int, peers: dict[Key, PeerConfig]) -> None:
    """Add one entry of a peer list to `peers`; one that goes on repeats its key."""
    fields = {kind: (first, last) for kind, first, last in walk(body, start, end)}
    if _PUBLIC_KEY not in fields:
        return
    key = Key(body[slice(*fields[_PUBLIC_KEY])])
    begun = peers.get(key, PeerConfig(key))
    psk, keepalive, ips = begun.preshared_key, begun.keepalive, begun.allowed_ips
    if _PRESHARED_KEY in fields:
        psk = some_key(body[slice(*fields[_PRESHARED_KEY])])
    if _KEEPALIVE in fields:
        (keepalive,) = _U16.unpack_from(body, fields[_KEEPALIVE][0])
    if _ALLOWED_IPS in fields:
        more = (_network(body, *entry[1:]) for entry in walk(body, *fields[_ALLOWED_IPS]))
        ips = in_order((*ips, *more))
    peers[key] = PeerConfig(key, psk, ips, keepalive)


def _network(body: bytes, start: int, end: int) -> Network:
    fields = {kind: body[first:last] for kind, first, last in walk(body, start, end)}
    raw, length = fields[_IP_ADDRESS], fields[_IP_MASK][0]
    if len(raw) == 4:
        return IPv4Network((raw, length))
    return IPv6Network((raw, length))
