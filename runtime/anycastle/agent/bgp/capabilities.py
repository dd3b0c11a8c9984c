"""What an OPEN says that a speaker can do: RFC 5492, 4760, 6793, 4724, 2918, 9072. Pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from anycastle.agent.bgp.wire import UNICAST, Afi, BgpError, ErrorCode

MULTIPROTOCOL = 1
ROUTE_REFRESH = 2
GRACEFUL_RESTART = 64
FOUR_BYTE_AS = 65

RESTARTING = 0x8000
FORWARDING = 0x80
_PARAMETER = 2
_EXTENDED = 255


@dataclass(frozen=True, slots=True)
class GracefulRestart:
    """RFC 4724. seconds: how long routes are kept after the connection ended.

    restarting: this connection follows a restart. families: forwarding went on for these.
    """

    seconds: int
    restarting: bool = False
    families: tuple[Afi, ...] = ()


@dataclass(frozen=True, slots=True)
class Capabilities:
    """asn: None if the neighbour has no 4-byte AS numbers."""

    asn: int | None = None
    families: tuple[Afi, ...] = ()
    route_refresh: bool = False
    graceful_restart: GracefulRestart | None = None


def encode_parameters(capabilities: Capabilities) -> bytes:
    """The optional parameters of an OPEN, with their length in front."""
    encoded = b"".join(
        bytes((_PARAMETER, len(value) + 2, code, len(value))) + value
        for code, value in _values(capabilities)
    )
    return bytes((len(encoded),)) + encoded


def _values(capabilities: Capabilities) -> Iterator[tuple[int, bytes]]:
    for afi in capabilities.families:
        yield MULTIPROTOCOL, struct.pack("!HBB", afi, 0, UNICAST)
    if capabilities.route_refresh:
        yield ROUTE_REFRESH, b""
    if (restart := capabilities.graceful_restart) is not None:
        flags = RESTARTING if restart.restarting else 0
        value = struct.pack("!H", flags | restart.seconds)
        for afi in restart.families:
            value += struct.pack("!HBB", afi, UNICAST, FORWARDING)
        yield GRACEFUL_RESTART, value
    if capabilities.asn is not None:
        yield FOUR_BYTE_AS, struct.pack("!I", capabilities.asn)


def decode_parameters(data: bytes) -> Capabilities:
    """The optional parameters, with their length in front. Raises BgpError."""
    try:
        return _collect(_decode_values(data))
    except (struct.error, IndexError):
        raise BgpError(ErrorCode.OPEN, 0, "the OPEN's parameters are cut off") from None


def _decode_values(data: bytes) -> Iterator[tuple[int, bytes]]:
    length, start, size = data[0], 1, 1
    if length == _EXTENDED and len(data) > 1 and data[1] == _EXTENDED:  # RFC 9072
        (length,) = struct.unpack_from("!H", data, 2)
        start, size = 4, 2
    if start + length != len(data):
        raise IndexError
    offset = start
    while offset < len(data):
        kind = data[offset]
        end = offset + 1 + size + int.from_bytes(data[offset + 1 : offset + 1 + size], "big")
        if end > len(data):
            raise IndexError
        if kind != _PARAMETER:
            raise BgpError(ErrorCode.OPEN, 4, f"optional parameter {kind} is unknown")
        yield from _split(data[offset + 1 + size : end])
        offset = end


def _split(data: bytes) -> Iterator[tuple[int, bytes]]:
    offset = 0
    while offset < len(data):
        end = offset + 2 + data[offset + 1]
        if end > len(data):
            raise IndexError
        yield data[offset], data[offset + 2 : end]
        offset = end


def _collect(values: Iterator[tuple[int, bytes]]) -> Capabilities:
    asn: int | None = None
    refresh = False
    restart: GracefulRestart | None = None
    families: list[Afi] = []
    for code, value in values:
        if code == MULTIPROTOCOL:
            afi, _, safi = struct.unpack("!HBB", value)
            if safi == UNICAST and afi in (1, 2):
                families.append(Afi(afi))
        elif code == ROUTE_REFRESH:
            refresh = True
        elif code == FOUR_BYTE_AS:
            (asn,) = struct.unpack("!I", value)
        elif code == GRACEFUL_RESTART:
            restart = _restart(value)
    return Capabilities(asn, tuple(families), refresh, restart)


def _restart(value: bytes) -> GracefulRestart:
    (head,) = struct.unpack_from("!H", value)
    families = tuple(
        Afi(afi)
        for afi, safi, flags in struct.iter_unpack("!HBB", value[2:])
        if afi in (1, 2) and safi == UNICAST and flags & FORWARDING
    )
    return GracefulRestart(head & 0xFFF, bool(head & RESTARTING), families)
