"""nf_tables messages: changes of a map of endpoints, and what the kernel answers. Pure.

nft(8) writes the rules, which are few and read by people. Elements come by the thousand
and several times a second, so they go as netlink messages of our own (nf_tables_api.c):
a batch is a transaction, which is carried out as a whole or not at all.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address

from anycastle.agent.netlink.attributes import attribute, nested, walk
from anycastle.model.addresses import Endpoint

_SUBSYSTEM = 10  # NFNL_SUBSYS_NFTABLES
GET_CHAIN = _SUBSYSTEM << 8 | 4
NEW_ELEMENT, GET_ELEMENT, DELETE_ELEMENT = (_SUBSYSTEM << 8 | number for number in (12, 13, 14))
GET_OBJECT = _SUBSYSTEM << 8 | 19

Request = tuple[int, int, bytes]
"""(type, flags, body) of a message."""

_BATCH_BEGIN, _BATCH_END = 0x10, 0x11  # NFNL_MSG_BATCH_*
_NFPROTO_NETDEV = 5
_HEADER = struct.pack("=BBH", _NFPROTO_NETDEV, 0, 0)  # struct nfgenmsg
_BATCH = bytes(2) + _SUBSYSTEM.to_bytes(2, "big")
_NAME, _TABLE = 3, 1  # NFTA_CHAIN_*
_LIST_TABLE, _LIST_SET, _LIST_ELEMENTS, _ELEMENT = 1, 2, 3, 1  # NFTA_SET_ELEM_LIST_*, NFTA_LIST_*
_KEY, _DATA, _VALUE = 1, 2, 1  # NFTA_SET_ELEM_*, NFTA_DATA_VALUE
_OBJECT_TABLE, _OBJECT_NAME, _OBJECT_DATA, _PACKETS = 1, 2, 4, 2  # NFTA_OBJ_*, NFTA_COUNTER_*
_PORT = struct.Struct("!H2x")
_MARK = struct.Struct("=I")  # marks are in the host's byte order


def batch(requests: Iterable[Request]) -> list[Request]:
    """The messages as one transaction."""
    return [(_BATCH_BEGIN, 0, _BATCH), *requests, (_BATCH_END, 0, _BATCH)]


def endpoint_key(endpoint: Endpoint) -> bytes:
    """As sets of `address . inet_service` have it: each part padded to four bytes."""
    return endpoint.address.packed + _PORT.pack(endpoint.port)


def key_endpoint(key: bytes) -> Endpoint:
    """Raises ValueError when it is no endpoint."""
    if len(key) not in (8, 20):
        raise ValueError(f"the key of an element has {len(key)} bytes, an endpoint has 8 or 20")
    packed, (port,) = key[:-4], _PORT.unpack(key[-4:])
    return Endpoint(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed), port)


def put_elements(table: str, name: str, values: Mapping[Endpoint, int]) -> bytes:
    """Body that adds elements of a map from endpoint to mark."""
    elements = (
        nested(_ELEMENT, _data(_KEY, endpoint_key(endpoint)), _data(_DATA, _MARK.pack(value)))
        for endpoint, value in values.items()
    )
    return _elements(table, name, elements)


def keys(table: str, name: str, endpoints: Iterable[Endpoint]) -> bytes:
    """Body that adds elements of a set of endpoints, or deletes such of a set or map."""
    elements = (nested(_ELEMENT, _data(_KEY, endpoint_key(one))) for one in endpoints)
    return _elements(table, name, elements)


def elements_request(table: str, name: str) -> bytes:
    """Body that asks for all elements of a set or map."""
    return _elements(table, name, ())


def elements_of(body: bytes) -> Iterator[tuple[Endpoint, int]]:
    """Endpoints and marks in one answer. Raises ValueError when it is malformed."""
    for kind, first, last in walk(body, len(_HEADER)):
        if kind == _LIST_ELEMENTS:
            for _, start, end in walk(body, first, last):
                parts = {part: (begin, stop) for part, begin, stop in walk(body, start, end)}
                key, data = _payload(body, parts[_KEY]), _payload(body, parts[_DATA])
                yield key_endpoint(key), _MARK.unpack(data)[0]


def dump_request() -> bytes:
    """Body that asks for all chains or objects of the family."""
    return _HEADER


def chain_of(body: bytes, table: str) -> str | None:
    """Name of the chain in an answer; None: another table's."""
    found = {kind: (first, last) for kind, first, last in walk(body, len(_HEADER))}
    return _text(body, found[_NAME]) if _text(body, found[_TABLE]) == table else None


def counter_of(body: bytes, table: str) -> tuple[str, int] | None:
    """Name and packets of the counter in an answer; None: another table's."""
    found = {kind: (first, last) for kind, first, last in walk(body, len(_HEADER))}
    if _text(body, found[_OBJECT_TABLE]) != table:
        return None
    inner = {kind: (first, last) for kind, first, last in walk(body, *found[_OBJECT_DATA])}
    first, last = inner[_PACKETS]
    return _text(body, found[_OBJECT_NAME]), int.from_bytes(body[first:last], "big")


def _elements(table: str, name: str, elements: Iterable[bytes]) -> bytes:
    names = attribute(_LIST_TABLE, table.encode() + b"\0") + attribute(
        _LIST_SET, name.encode() + b"\0"
    )
    packed = list(elements)
    return _HEADER + names + (nested(_LIST_ELEMENTS, *packed) if packed else b"")


def _data(kind: int, value: bytes) -> bytes:
    return nested(kind, attribute(_VALUE, value))


def _payload(body: bytes, span: tuple[int, int]) -> bytes:
    ((_, first, last),) = walk(body, *span)
    return body[first:last]


def _text(body: bytes, span: tuple[int, int]) -> str:
    return body[span[0] : span[1]].rstrip(b"\0").decode()
