"""Path attributes: RFC 4271 5, 1997 (communities), 4456 (reflection), 4760, 8092. Pure.

What a wrong attribute does is RFC 7606's business: `decode` hands its complaints
back, and the message's prefixes count as withdrawn. Only where the prefixes
themselves can't be told does it raise.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Any

from anycastle.agent.bgp.wire import (
    UNICAST,
    Afi,
    BgpError,
    ErrorCode,
    decode_prefixes,
)
from anycastle.model.addresses import Address, Network

LargeCommunity = tuple[int, int, int]
Community = tuple[int, int]


class Attribute(enum.IntEnum):
    ORIGIN = 1
    AS_PATH = 2
    NEXT_HOP = 3
    MED = 4
    LOCAL_PREF = 5
    COMMUNITIES = 8
    ORIGINATOR_ID = 9
    CLUSTER_LIST = 10
    MP_REACH = 14
    MP_UNREACH = 15
    LARGE_COMMUNITIES = 32


OPTIONAL, TRANSITIVE, EXTENDED = 0x80, 0x40, 0x10
_FLAGS = {
    Attribute.ORIGIN: TRANSITIVE,
    Attribute.AS_PATH: TRANSITIVE,
    Attribute.NEXT_HOP: TRANSITIVE,
    Attribute.MED: OPTIONAL,
    Attribute.LOCAL_PREF: TRANSITIVE,
    Attribute.COMMUNITIES: OPTIONAL | TRANSITIVE,
    Attribute.ORIGINATOR_ID: OPTIONAL,
    Attribute.CLUSTER_LIST: OPTIONAL,
    Attribute.MP_REACH: OPTIONAL,
    Attribute.MP_UNREACH: OPTIONAL,
    Attribute.LARGE_COMMUNITIES: OPTIONAL | TRANSITIVE,
}


@dataclass(frozen=True, slots=True)
class PathAttributes:
    """What is said about a set of prefixes.

    as_path: AS numbers, sets flattened (between a node and its own daemon it is empty).
    next_hop: of both families; IPv6's travels in MP_REACH_NLRI.
    cluster_list: reflectors that the route passed, the first one last (RFC 4456).
    """

    next_hop: Address | None = None
    local_pref: int | None = None
    med: int | None = None
    origin: int = 0
    as_path: tuple[int, ...] = ()
    communities: tuple[Community, ...] = ()
    large_communities: tuple[LargeCommunity, ...] = ()
    originator: IPv4Address | None = None
    cluster_list: tuple[IPv4Address, ...] = ()


@dataclass(slots=True)
class Decoded:
    """What an attribute field holds. problems: why its prefixes count as withdrawn."""

    attributes: PathAttributes = PathAttributes()
    present: set[int] = field(default_factory=set)
    reached: list[Network] = field(default_factory=list)
    unreached: list[Network] = field(default_factory=list)
    next_hop: Address | None = None
    problems: list[str] = field(default_factory=list)


def encode(attributes: PathAttributes, reached: bytes = b"") -> bytes:
    """The attribute field of an UPDATE. reached: IPv6 prefixes for MP_REACH_NLRI.

    Attributes are in the order of their numbers (RFC 4271 5), except that
    MP_REACH_NLRI comes first (RFC 7606 5.1).
    """
    parts = []
    hop = attributes.next_hop
    if reached and hop is not None:
        head = struct.pack("!HBB", Afi.IPV6, UNICAST, len(hop.packed)) + hop.packed
        parts.append(_attribute(Attribute.MP_REACH, head + b"\0" + reached))
    parts.append(_attribute(Attribute.ORIGIN, bytes((attributes.origin,))))
    parts.append(_attribute(Attribute.AS_PATH, _encode_as_path(attributes.as_path)))
    if not reached and hop is not None:
        parts.append(_attribute(Attribute.NEXT_HOP, hop.packed))
    if attributes.med is not None:
        parts.append(_attribute(Attribute.MED, struct.pack("!I", attributes.med)))
    if attributes.local_pref is not None:
        parts.append(_attribute(Attribute.LOCAL_PREF, struct.pack("!I", attributes.local_pref)))
    if attributes.communities:
        packed = b"".join(struct.pack("!HH", *each) for each in attributes.communities)
        parts.append(_attribute(Attribute.COMMUNITIES, packed))
    if attributes.originator is not None:
        parts.append(_attribute(Attribute.ORIGINATOR_ID, attributes.originator.packed))
    if attributes.cluster_list:
        packed = b"".join(each.packed for each in attributes.cluster_list)
        parts.append(_attribute(Attribute.CLUSTER_LIST, packed))
    if attributes.large_communities:
        packed = b"".join(struct.pack("!III", *each) for each in attributes.large_communities)
        parts.append(_attribute(Attribute.LARGE_COMMUNITIES, packed))
    return b"".join(parts)


def encode_unreached(prefixes: bytes) -> bytes:
    """MP_UNREACH_NLRI of IPv6 prefixes; without any it is the End-of-RIB marker."""
    return _attribute(Attribute.MP_UNREACH, struct.pack("!HB", Afi.IPV6, UNICAST) + prefixes)


def _attribute(kind: Attribute, value: bytes) -> bytes:
    if len(value) > 255:
        return struct.pack("!BBH", _FLAGS[kind] | EXTENDED, kind, len(value)) + value
    return bytes((_FLAGS[kind], kind, len(value))) + value


def _encode_as_path(path: tuple[int, ...]) -> bytes:
    if not path:
        return b""
    return struct.pack(f"!BB{len(path)}I", 2, len(path), *path)


def decode(data: bytes) -> Decoded:
    """The attribute field of an UPDATE. Raises BgpError where prefixes can't be told."""
    decoded = Decoded()
    values: dict[str, Any] = {}
    offset = 0
    while offset < len(data):
        flags, kind, value, offset = _split(data, offset, decoded)
        if kind in decoded.present:
            if kind in (Attribute.MP_REACH, Attribute.MP_UNREACH):
                raise BgpError(ErrorCode.UPDATE, 1, f"attribute {kind} appears twice")
            continue  # RFC 7606 3(g): all but the first are discarded
        decoded.present.add(kind)
        if kind in _FLAGS:
            _read(Attribute(kind), flags, value, decoded, values)
    values.setdefault("next_hop", decoded.next_hop)
    decoded.attributes = PathAttributes(**values)
    return decoded


def _split(data: bytes, offset: int, decoded: Decoded) -> tuple[int, int, bytes, int]:
    """One attribute's (flags, kind, value, offset behind it)."""
    extended = bool(data[offset] & EXTENDED)
    start = offset + (4 if extended else 3)
    if start > len(data):
        decoded.problems.append("an attribute's header is cut off")
        return 0, 0, b"", len(data)
    flags, kind = data[offset], data[offset + 1]
    length = int.from_bytes(data[offset + 2 : start], "big")
    if start + length > len(data):
        decoded.problems.append(f"attribute {kind} is cut off")
        if kind in (Attribute.MP_REACH, Attribute.MP_UNREACH):
            raise BgpError(ErrorCode.UPDATE, 5, f"attribute {kind} is cut off")
        return 0, 0, b"", len(data)
    return flags, kind, data[start : start + length], start + length


def _read(
    kind: Attribute, flags: int, value: bytes, decoded: Decoded, values: dict[str, Any]
) -> None:
    if kind is Attribute.MP_REACH:
        _read_reached(value, decoded)
    elif kind is Attribute.MP_UNREACH:
        decoded.unreached = decode_prefixes(value[3:], _afi(value, 3))
    elif flags & (OPTIONAL | TRANSITIVE) != _FLAGS[kind]:
        decoded.problems.append(f"{kind.name} has flags {flags:#04x}")
    else:
        name, reader = _READERS[kind]
        try:
            values[name] = reader(value)
        except (ValueError, struct.error) as error:
            decoded.problems.append(f"{kind.name}: {error}")


def _afi(value: bytes, least: int) -> Afi:
    if len(value) < least:
        raise BgpError(ErrorCode.UPDATE, 9, "a multiprotocol attribute is too short")
    afi, safi = struct.unpack_from("!HB", value)
    if afi not in (1, 2) or safi != UNICAST:
        raise BgpError(ErrorCode.UPDATE, 9, f"AFI {afi} SAFI {safi} was not negotiated")
    return Afi(afi)


def _read_reached(value: bytes, decoded: Decoded) -> None:
    afi = _afi(value, 5)
    end = 4 + value[3]
    hop = value[4:end]
    if len(hop) not in ((4,) if afi is Afi.IPV4 else (16, 32)) or end >= len(value):
        raise BgpError(ErrorCode.UPDATE, 9, f"MP_REACH_NLRI has a next hop of {value[3]} bytes")
    # 32 bytes: a global and a link-local address (RFC 2545); the first one counts.
    decoded.next_hop = IPv4Address(hop) if afi is Afi.IPV4 else IPv6Address(hop[:16])
    decoded.reached = decode_prefixes(value[end + 1 :], afi)


def _origin(value: bytes) -> int:
    if len(value) != 1 or value[0] > 2:
        raise ValueError(f"{value.hex()} is no origin")
    return value[0]


def _as_path(value: bytes) -> tuple[int, ...]:
    path: list[int] = []
    offset = 0
    while offset < len(value):
        kind, count = struct.unpack_from("!BB", value, offset)
        if kind not in (1, 2, 3, 4) or not count:
            raise ValueError(f"a segment of type {kind} with {count} numbers")
        path += struct.unpack_from(f"!{count}I", value, offset + 2)
        offset += 2 + 4 * count
    return tuple(path)


def _number(value: bytes) -> int:
    if len(value) != 4:
        raise ValueError(f"{len(value)} bytes, not 4")
    return int.from_bytes(value, "big")


def _address(value: bytes) -> IPv4Address:
    return IPv4Address(_number(value))


def _addresses(value: bytes) -> tuple[IPv4Address, ...]:
    return tuple(IPv4Address(number) for (number,) in _several("!I", value))


def _several(layout: str, value: bytes) -> list[tuple[int, ...]]:
    if not value or len(value) % struct.calcsize(layout):
        raise ValueError(f"{len(value)} bytes, not a multiple of {struct.calcsize(layout)}")
    return list(struct.iter_unpack(layout, value))


_READERS: dict[Attribute, tuple[str, Callable[[bytes], object]]] = {
    Attribute.ORIGIN: ("origin", _origin),
    Attribute.AS_PATH: ("as_path", _as_path),
    Attribute.NEXT_HOP: ("next_hop", _address),
    Attribute.MED: ("med", _number),
    Attribute.LOCAL_PREF: ("local_pref", _number),
    Attribute.COMMUNITIES: ("communities", lambda value: tuple(_several("!HH", value))),
    Attribute.ORIGINATOR_ID: ("originator", _address),
    Attribute.CLUSTER_LIST: ("cluster_list", _addresses),
    Attribute.LARGE_COMMUNITIES: (
        "large_communities",
        lambda value: tuple(_several("!III", value)),
    ),
}
