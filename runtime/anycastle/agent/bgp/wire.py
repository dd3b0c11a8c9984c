"""Numbers of BGP-4, its errors, and prefixes in bytes. Pure.

RFC 4271 (BGP-4), RFC 4760 (multiprotocol), RFC 4486 (Cease subcodes), RFC 6793
(4-byte AS numbers), RFC 4724 (graceful restart), RFC 8092 (large communities).
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network

from anycastle.model.addresses import Network

HEADER_SIZE = 19
MAX_MESSAGE = 4096
"""Bytes of a whole message (RFC 4271 4.1; we do not negotiate RFC 8654)."""
AS_TRANS = 23456
"""Stands for an AS number that does not fit two bytes (RFC 6793)."""


class MessageType(enum.IntEnum):
    OPEN = 1
    UPDATE = 2
    NOTIFICATION = 3
    KEEPALIVE = 4
    ROUTE_REFRESH = 5


class Afi(enum.IntEnum):
    """Address families; SAFI is always 1, unicast."""

    IPV4 = 1
    IPV6 = 2


UNICAST = 1


class ErrorCode(enum.IntEnum):
    HEADER = 1
    OPEN = 2
    UPDATE = 3
    HOLD_TIMER = 4
    FSM = 5
    CEASE = 6


class BgpError(Exception):
    """The neighbour broke the protocol; it is told so, and the session ends.

    code, subcode, data: of the NOTIFICATION that answers it.
    """

    def __init__(self, code: ErrorCode, subcode: int, message: str, data: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self.subcode = subcode
        self.data = data


def encode_prefix(network: Network) -> bytes:
    """Length in bits, then as many bytes as it takes (RFC 4271 4.3)."""
    length = network.prefixlen
    return bytes((length,)) + network.network_address.packed[: (length + 7) // 8]


def encode_prefixes(networks: Iterable[Network]) -> bytes:
    return b"".join(map(encode_prefix, networks))


def decode_prefixes(data: bytes, afi: Afi) -> list[Network]:
    """Every prefix in `data`. Raises BgpError (the whole field is then unusable)."""
    size = 4 if afi is Afi.IPV4 else 16
    networks: list[Network] = []
    offset = 0
    while offset < len(data):
        length = data[offset]
        end = offset + 1 + (length + 7) // 8
        if length > size * 8 or end > len(data):
            raise BgpError(ErrorCode.UPDATE, 10, f"a prefix of {length} bits does not fit")
        networks.append(_network(data[offset + 1 : end], length, size))
        offset = end
    return networks


def _network(packed: bytes, length: int, size: int) -> Network:
    # Bits behind the prefix are irrelevant (RFC 4271 4.3): cut them off.
    value = int.from_bytes(packed.ljust(size, b"\0"), "big")
    shift = size * 8 - length
    value = value >> shift << shift
    return IPv4Network((value, length)) if size == 4 else IPv6Network((value, length))
