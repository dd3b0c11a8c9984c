"""Netlink attributes (include/uapi/linux/netlink.h, `struct nlattr`), pure."""

from __future__ import annotations

import struct
from collections.abc import Iterator

NLA_F_NESTED = 0x8000
NLA_TYPE_MASK = 0x3FFF

_HEADER = struct.Struct("=HH")
_PADDING = (b"", b"\0\0\0", b"\0\0", b"\0")


class MalformedAttribute(ValueError):
    """An attribute longer than what holds it: the kernel's (or our offset's) mistake."""


def attribute(kind: int, payload: bytes) -> bytes:
    """One attribute, padded to four bytes. Raises ValueError when it is too long."""
    length = 4 + len(payload)
    if length > 0xFFFF:
        raise ValueError(f"netlink attribute {kind} would have {length} bytes, at most 65535 fit")
    return _HEADER.pack(length, kind) + payload + _PADDING[length & 3]


def nested(kind: int, *attributes: bytes) -> bytes:
    """An attribute that holds attributes."""
    return attribute(kind | NLA_F_NESTED, b"".join(attributes))


def walk(data: bytes, start: int = 0, end: int | None = None) -> Iterator[tuple[int, int, int]]:
    """(type, first byte, one past the last byte) of each attribute's payload in data[start:end].

    Raises MalformedAttribute.
    """
    end = len(data) if end is None else end
    while start + 4 <= end:
        length, kind = _HEADER.unpack_from(data, start)
        if length < 4 or start + length > end:
            raise MalformedAttribute(
                f"netlink attribute {kind & NLA_TYPE_MASK} at byte {start} says that it has "
                f"{length} bytes, {end - start} are left"
            )
        yield kind & NLA_TYPE_MASK, start + 4, start + length
        start += (length + 3) & ~3
