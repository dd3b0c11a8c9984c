"""WireGuard's packets on a device, as they pass: who sent what to whom, and when."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from anycastle.model.addresses import Endpoint
from tests.support.namespaces import Namespace
from tests.support.waiting import wait_for

_ETH_P_ALL = 0x0003
_PACKET_OUTGOING = 4
_SO_RCVBUFFORCE, _SO_TIMESTAMPNS = 33, 35
_TIMESPEC = struct.Struct("=qq")
_UDP = 17
_ETHERNET = 14
INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4


@dataclass(frozen=True)
class Packet:
    """One WireGuard message. at: epoch seconds, as the kernel stamped it. out: it left by the
    device. payload: of UDP; index: of the receiver (DATA, RESPONSE) or sender (INITIATION)."""

    at: float
    out: bool
    source: Endpoint
    destination: Endpoint
    payload: bytes

    @property
    def kind(self) -> int:
        return self.payload[0]

    @property
    def index(self) -> int:
        return int.from_bytes(
            self.payload[8:12] if self.kind == RESPONSE else self.payload[4:8], "little"
        )

    def __str__(self) -> str:
        way = "out" if self.out else "in"
        return (
            f"{way} {self.source} > {self.destination} type {self.kind} {len(self.payload)} bytes"
        )


class Capture:
    """Packets of UDP whose payload begins like a WireGuard message, since it began."""

    def __init__(self, tap: socket.socket) -> None:
        self._tap = tap
        self._packets: list[Packet] = []

    def packets(self, *kinds: int, out: bool | None = None) -> list[Packet]:
        """Those until now, of these kinds (all, without), that came or left (both, without)."""
        with contextlib.suppress(BlockingIOError):
            while True:
                frame, (stamp,), _, address = self._tap.recvmsg(65535, 64)
                seconds, nanos = _TIMESPEC.unpack(stamp[2])
                left = address[2] == _PACKET_OUTGOING
                if packet := parse(frame, seconds + nanos / 1e9, out=left):
                    self._packets.append(packet)
        return [
            packet
            for packet in self._packets
            if (not kinds or packet.kind in kinds) and out in (None, packet.out)
        ]

    def wait(self, what: str, wanted: Callable[[Packet], object], timeout: float) -> Packet:
        """The first packet that is wanted. Raises NotInTime."""
        found = lambda: next(filter(wanted, self.packets()), None)  # noqa: E731
        packet = wait_for(what, found, timeout, every=0.01)
        assert packet is not None
        return packet

    def clear(self) -> None:
        self.packets()
        self._packets.clear()


@contextmanager
def capture(space: Namespace, device: str) -> Iterator[Capture]:
    with space.entered():
        tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
    with tap:
        tap.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 32 << 20)
        with space.entered():
            tap.bind((device, _ETH_P_ALL))
        tap.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        tap.setblocking(False)
        yield Capture(tap)


def parse(frame: bytes, at: float, *, out: bool) -> Packet | None:
    """An Ethernet frame's WireGuard message, None where it has none. First fragments only."""
    kind, ip = int.from_bytes(frame[12:14], "big"), frame[_ETHERNET:]
    if kind == 0x0800 and ip[9] == _UDP and not int.from_bytes(ip[6:8], "big") & 0x1FFF:
        addresses = ip[12:16], ip[16:20]
        udp = ip[(ip[0] & 15) * 4 : int.from_bytes(ip[2:4], "big")]
    elif kind == 0x86DD and ip[6] == _UDP:
        addresses = ip[8:24], ip[24:40]
        udp = ip[40 : 40 + int.from_bytes(ip[4:6], "big")]
    else:
        return None
    payload = udp[8:]
    if len(payload) < 16 or payload[0] not in range(1, 5) or any(payload[1:4]):
        return None
    ports = int.from_bytes(udp[0:2], "big"), int.from_bytes(udp[2:4], "big")
    source, destination = map(Endpoint, map(ip_address, addresses), ports)
    return Packet(at, out, source, destination, payload)
