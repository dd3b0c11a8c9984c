"""BGP messages in bytes: RFC 4271 4, capabilities RFC 5492. Pure.

encode(message) gives the whole message; `Decoder` cuts a byte stream into messages.
An UPDATE of ours carries one family; one that is read may carry both.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address

from anycastle.agent.bgp import attributes as path
from anycastle.agent.bgp.attributes import Attribute, Decoded, PathAttributes
from anycastle.agent.bgp.capabilities import Capabilities, decode_parameters, encode_parameters
from anycastle.agent.bgp.wire import (
    AS_TRANS,
    HEADER_SIZE,
    MAX_MESSAGE,
    Afi,
    BgpError,
    ErrorCode,
    MessageType,
    decode_prefixes,
    encode_prefixes,
)
from anycastle.model.addresses import Network

MARKER = b"\xff" * 16
_HEADER = struct.Struct("!16sHB")


@dataclass(frozen=True, slots=True)
class Open:
    """hold_time: seconds. asn: 4 bytes, from the capability if there is one."""

    asn: int
    hold_time: int
    identifier: IPv4Address
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class Update:
    """problems: why prefixes that were announced count as withdrawn (RFC 7606)."""

    announced: tuple[Network, ...] = ()
    withdrawn: tuple[Network, ...] = ()
    attributes: PathAttributes | None = None
    end_of_rib: Afi | None = None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Notification:
    code: int
    subcode: int
    data: bytes = b""

    def __str__(self) -> str:
        return f"NOTIFICATION {self.code}/{self.subcode} {self.data.hex()}".rstrip()


@dataclass(frozen=True, slots=True)
class Keepalive:
    pass


@dataclass(frozen=True, slots=True)
class RouteRefresh:
    """The neighbour wants everything of a family again (RFC 2918)."""

    afi: Afi


Message = Open | Update | Notification | Keepalive | RouteRefresh

KEEPALIVE = _HEADER.pack(MARKER, HEADER_SIZE, MessageType.KEEPALIVE)


def encode(message: Message) -> bytes:
    """The message in bytes. Raises ValueError if it does not fit 4096 bytes."""
    match message:
        case Keepalive():
            return KEEPALIVE
        case Open():
            return _frame(MessageType.OPEN, _encode_open(message))
        case Notification(code, subcode, data):
            return _frame(MessageType.NOTIFICATION, bytes((code, subcode)) + data)
        case RouteRefresh(afi):
            return _frame(MessageType.ROUTE_REFRESH, struct.pack("!HBB", afi, 0, 1))
        case Update():
            return _encode_update(message)


def _frame(kind: MessageType, body: bytes) -> bytes:
    size = HEADER_SIZE + len(body)
    if size > MAX_MESSAGE:
        raise ValueError(f"a {kind.name} of {size} bytes does not fit {MAX_MESSAGE}")
    return _HEADER.pack(MARKER, size, kind) + body


def _encode_open(message: Open) -> bytes:
    asn = message.asn if message.asn < 65536 else AS_TRANS
    head = struct.pack("!BHH", 4, asn, message.hold_time) + message.identifier.packed
    return head + encode_parameters(message.capabilities)


def _encode_update(update: Update) -> bytes:
    if update.end_of_rib is Afi.IPV6:
        return update_body(attributes=path.encode_unreached(b""))
    if update.end_of_rib is Afi.IPV4:
        return update_body()
    prefixes = update.announced or update.withdrawn
    encoded = encode_prefixes(prefixes)
    version = prefixes[0].version
    if update.attributes is None:
        if version == 4:
            return update_body(withdrawn=encoded)
        return update_body(attributes=path.encode_unreached(encoded))
    if version == 4:
        return update_body(attributes=path.encode(update.attributes), announced=encoded)
    return update_body(attributes=path.encode(update.attributes, reached=encoded))


def update_body(withdrawn: bytes = b"", attributes: bytes = b"", announced: bytes = b"") -> bytes:
    """A whole UPDATE from its three fields, encoded already."""
    head = struct.pack("!H", len(withdrawn)) + withdrawn + struct.pack("!H", len(attributes))
    return _frame(MessageType.UPDATE, head + attributes + announced)


class Decoder:
    """Cuts what arrives into messages."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Message]:
        """Every message that is complete now. Raises BgpError: the stream is lost."""
        self._buffer += data
        start = 0
        try:
            while len(self._buffer) - start >= HEADER_SIZE:
                marker, size, kind = _HEADER.unpack_from(self._buffer, start)
                _check_header(marker, size)
                if len(self._buffer) - start < size:
                    return
                body = bytes(self._buffer[start + HEADER_SIZE : start + size])
                start += size
                yield decode(kind, body)
        finally:
            del self._buffer[:start]


def _check_header(marker: bytes, size: int) -> None:
    if marker != MARKER:
        raise BgpError(ErrorCode.HEADER, 1, "the marker is not all ones")
    if not HEADER_SIZE <= size <= MAX_MESSAGE:
        data = struct.pack("!H", size)
        raise BgpError(ErrorCode.HEADER, 2, f"a message of {size} bytes", data)


def decode(kind: int, body: bytes) -> Message:
    """A message from its type and the bytes behind the header. Raises BgpError."""
    if kind == MessageType.UPDATE:
        return _decode_update(body)
    if kind == MessageType.KEEPALIVE:
        _need(len(body) == 0, body, "a KEEPALIVE has no body")
        return Keepalive()
    if kind == MessageType.OPEN:
        return _decode_open(body)
    if kind == MessageType.NOTIFICATION:
        _need(len(body) >= 2, body, "a NOTIFICATION has a code and a subcode")
        return Notification(body[0], body[1], body[2:])
    if kind == MessageType.ROUTE_REFRESH:
        _need(len(body) == 4 and body[1] in (1, 2), body, "a ROUTE-REFRESH of a family not ours")
        return RouteRefresh(Afi(body[1]))
    raise BgpError(ErrorCode.HEADER, 3, f"message type {kind} is unknown", bytes((kind,)))


def _need(fine: bool, body: bytes, what: str) -> None:
    if not fine:
        raise BgpError(ErrorCode.HEADER, 2, what, struct.pack("!H", HEADER_SIZE + len(body)))


def _decode_open(body: bytes) -> Open:
    _need(len(body) >= 10, body, "an OPEN is at least 29 bytes")
    version, asn, hold_time = struct.unpack_from("!BHH", body)
    if version != 4:
        raise BgpError(ErrorCode.OPEN, 1, f"BGP version {version}", struct.pack("!H", 4))
    if hold_time in (1, 2):
        raise BgpError(ErrorCode.OPEN, 6, f"a hold time of {hold_time} s")
    identifier = IPv4Address(body[5:9])
    if not int(identifier):
        raise BgpError(ErrorCode.OPEN, 3, "the BGP identifier is zero")
    capabilities = decode_parameters(body[9:])
    return Open(capabilities.asn or asn, hold_time, identifier, capabilities)


def _decode_update(body: bytes) -> Update:
    withdrawn, field, announced = _fields(body)
    unreached = decode_prefixes(withdrawn, Afi.IPV4)
    reached = decode_prefixes(announced, Afi.IPV4)
    if not field:
        end = None if unreached or reached else Afi.IPV4
        return _judge(Decoded(), unreached, reached, end)
    decoded = path.decode(field)
    empty = not (reached or unreached or decoded.reached or decoded.unreached)
    end = Afi.IPV6 if empty and decoded.present == {Attribute.MP_UNREACH} else None
    return _judge(decoded, unreached, reached, end)


def _fields(body: bytes) -> tuple[bytes, bytes, bytes]:
    """(withdrawn routes, path attributes, NLRI)."""
    try:
        (withdrawn_size,) = struct.unpack_from("!H", body)
        (attributes_size,) = struct.unpack_from("!H", body, 2 + withdrawn_size)
    except struct.error:
        raise BgpError(ErrorCode.UPDATE, 1, "an UPDATE's lengths exceed it") from None
    start = 4 + withdrawn_size
    if start + attributes_size > len(body):
        raise BgpError(ErrorCode.UPDATE, 1, "an UPDATE's attributes exceed it")
    end = start + attributes_size
    return body[2 : 2 + withdrawn_size], body[start:end], body[end:]


def _judge(
    decoded: Decoded, unreached: list[Network], reached: list[Network], end: Afi | None
) -> Update:
    """RFC 7606: with a wrong or missing attribute what is announced counts as withdrawn."""
    announced = (*reached, *decoded.reached)
    withdrawn = (*unreached, *decoded.unreached)
    if not announced:
        return Update(withdrawn=withdrawn, end_of_rib=end)
    needed = [Attribute.ORIGIN, Attribute.AS_PATH, Attribute.LOCAL_PREF]
    needed += [Attribute.NEXT_HOP] if reached else []
    missing = [f"{each.name} is missing" for each in needed if each not in decoded.present]
    problems = (*decoded.problems, *missing)
    if problems:
        return Update(withdrawn=(*withdrawn, *announced), problems=problems)
    return Update(announced=announced, withdrawn=withdrawn, attributes=decoded.attributes)
