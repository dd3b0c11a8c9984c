"""The structures of headers/maps.h as bytes. Pure; tests hold them against the object's BTF.

Everything is in the machine's byte order except addresses and ports, which are as on
the wire. IPv4 addresses are mapped (::ffff:a.b.c.d), as RFC 4291, 2.5.5.2 has it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv6Address

from anycastle.agent.takeover.path import EventKind, PacketEvent, PathCounters
from anycastle.model.addresses import Endpoint

LAYOUT = 1
"""Raised when a structure changes its meaning: maps of another layout are left behind."""

MAX_SERVICES = 8
TRUSTED = 1

ENDPOINT = struct.Struct("=16s2s2x")
INDEX = struct.Struct("=QI4x")
INDICES = struct.Struct("=8III")
RELAY = struct.Struct("=Q4s4x")
SETTINGS = struct.Struct("=IIII6s6s160s")
COUNTERS = struct.Struct("=9Q")
EVENT = struct.Struct("=Q20sI")

_MAPPED = bytes(10) + b"\xff\xff"
_NOBODY = bytes(4)
EVENT_KINDS = (EventKind.FOREIGN, EventKind.ANSWERED, EventKind.FIRST)
NANOSECONDS = 1e9


def pack_endpoint(endpoint: Endpoint) -> bytes:
    packed = endpoint.address.packed
    address = packed if len(packed) == 16 else _MAPPED + packed
    return ENDPOINT.pack(address, endpoint.port.to_bytes(2, "big"))


def unpack_endpoint(data: bytes) -> Endpoint:
    address, port = ENDPOINT.unpack(data)
    number = int.from_bytes(port, "big")
    if address.startswith(_MAPPED):
        return Endpoint(IPv4Address(address[12:]), number)
    return Endpoint(IPv6Address(address), number)


def pack_relay(owner: IPv4Address | None) -> bytes:
    """Its time of the last report is zero: a put starts the second anew."""
    return RELAY.pack(0, owner.packed if owner else _NOBODY)


def unpack_relay(data: bytes) -> IPv4Address | None:
    owner = RELAY.unpack(data)[1]
    return None if owner == _NOBODY else IPv4Address(owner)


def unpack_indices(data: bytes) -> Iterator[int]:
    """The receiver indices that were negotiated with one endpoint."""
    *indices, _next, _open = INDICES.unpack(data)
    yield from (index for index in indices if index)


def unpack_event(data: bytes) -> PacketEvent:
    at, endpoint, kind = EVENT.unpack(data)
    return PacketEvent(EVENT_KINDS[kind], unpack_endpoint(endpoint), at / NANOSECONDS)


def sum_counters(of_cpus: Iterable[bytes]) -> PathCounters:
    """Of all CPUs together."""
    rows = [COUNTERS.unpack(one) for one in of_cpus]
    return PathCounters(*map(sum, zip(*rows, strict=True)))


@dataclass(frozen=True)
class Port:
    """A network device as the program knows it. index: 0 for none. mac: six bytes."""

    index: int
    mac: bytes


NOTHING = Port(0, bytes(6))


@dataclass(frozen=True)
class Settings:
    """What the program is told. services: where clients connect to.

    fabric: the device to the other nodes. uplink: where relayed packets re-enter.
    """

    services: tuple[Endpoint, ...]
    trusted: bool = False
    fabric: Port = NOTHING
    uplink: Port = NOTHING

    def pack(self) -> bytes:
        services = b"".join(map(pack_endpoint, self.services))
        return SETTINGS.pack(
            TRUSTED if self.trusted else 0,
            self.fabric.index,
            self.uplink.index,
            len(self.services),
            self.fabric.mac,
            self.uplink.mac,
            services,
        )

    @classmethod
    def unpack(cls, data: bytes) -> Settings:
        flags, fabric, uplink, count, fabric_mac, uplink_mac, packed = SETTINGS.unpack(data)
        size = ENDPOINT.size
        services = (packed[at : at + size] for at in range(0, count * size, size))
        return cls(
            services=tuple(map(unpack_endpoint, services)),
            trusted=bool(flags & TRUSTED),
            fabric=Port(fabric, fabric_mac),
            uplink=Port(uplink, uplink_mac),
        )

    def trust(self, on: bool) -> Settings:
        return replace(self, trusted=on)


@dataclass(frozen=True)
class Sizes:
    """Entries of the maps whose size depends on how many clients there are."""

    clients: int

    def items(self) -> Sequence[tuple[str, int]]:
        """An index lives 200 s and a session makes a new one every 120 s; retries cost more.
        An LRU map gives up entries some per cent before it is full."""
        return (
            ("mine", 4 * self.clients),
            ("negotiated", 2 * self.clients),
            ("relays", 2 * self.clients),
        )
