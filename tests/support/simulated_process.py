"""The process of many simulated clients: `python -m tests.support.simulated_process`.

One socket a client, all in one network namespace; each pings one address through its
tunnel (ICMP inside IPv4) at an interval. Driven by `simulated_crowd`: a JSON object a line
each way. It ends when its input does.
"""

from __future__ import annotations

import heapq
import os
import resource
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from dataclasses import fields
from ipaddress import IPv4Address

import msgspec

from anycastle.model import codec
from anycastle.model.addresses import Endpoint
from anycastle.model.codec import Key
from tests.support.simulated_client import Counters, Identity, SimulatedClient
from tools.measure import netns

SWEEP = 0.1
"""Seconds between two looks at all timers."""
_SENT_AT = struct.Struct("!d")
_ICMP = struct.Struct("!BBHHH")
HEADER = 20


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A client. Keys: base64. address: its own inside the tunnel."""

    name: str
    private: str
    preshared: str
    address: IPv4Address


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """The first line. endpoint: `address:port`. interval, keepalive: seconds."""

    netns: str
    endpoint: str
    service: str
    target: IPv4Address
    interval: float
    keepalive: float
    members: tuple[Member, ...]


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """do: `connect` (`names` again, from new ports), `mark`, `report`. pace: clients a second."""

    do: str
    names: tuple[str, ...] = ()
    pace: float = 100.0


class ClientReport(msgspec.Struct, frozen=True, kw_only=True):
    """Since the last mark. back: seconds from it to the first answer to a ping sent after it.

    gap: the longest time without an answer, one that still lasts included. last: epoch
    seconds of the last answer; 0.0 without any.
    """

    name: str
    answers: int
    back: float | None
    gap: float
    last: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """counters: of all clients together, from the beginning. busy: CPU seconds so far."""

    clients: tuple[ClientReport, ...] = ()
    counters: dict[str, int] = {}
    busy: float = 0.0


class Pinger:
    """One client with its socket and what became of its pings. Times are epoch seconds."""

    def __init__(self, setup: Setup, member: Member, number: int) -> None:
        self.member = member
        self._setup = setup
        self._number = number & 0xFFFF
        self._sequence = 0
        self.spent = Counters()
        self.socket: socket.socket | None = None
        self.client = self._client()
        self.mark(0.0)
        self.last = 0.0

    def mark(self, at: float) -> None:
        self._mark, self._answers, self._gap = at, 0, 0.0
        self._back: float | None = None

    def connect(self) -> socket.socket:
        """Begin anew from another port, as after a reboot of the client."""
        if self.socket is not None:
            self.socket.close()
        self.spent = summed([self.spent, self.client.counters])
        self.client = self._client()
        endpoint = Endpoint.parse(self._setup.endpoint)
        family = socket.AF_INET if endpoint.address.version == 4 else socket.AF_INET6
        made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.connect((str(endpoint.address), endpoint.port))
        self.socket = made
        return made

    def ping(self) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        payload = _SENT_AT.pack(time.time())
        message = echo_request(self._number, self._sequence, payload)
        packet = ipv4(self.member.address, self._setup.target, message)
        self._send(self.client.send(packet, time.monotonic()))

    def tick(self, now: float) -> None:
        if self.socket is not None and self.client.next_tick() <= now:
            self._send(self.client.tick(now))

    def readable(self) -> None:
        assert self.socket is not None
        while True:
            try:
                data = self.socket.recv(2048)
            except OSError:  # none left, or an ICMP error of a router
                return
            self._send(self.client.datagram(data, time.monotonic()))

    def report(self, now: float) -> ClientReport:
        silent = now - max(self.last, self._mark if not self.last else 0.0)
        return ClientReport(
            name=self.member.name,
            answers=self._answers,
            back=self._back,
            gap=max(self._gap, silent),
            last=self.last,
        )

    def _client(self) -> SimulatedClient:
        member, service = self.member, Key.from_text(self._setup.service)
        identity = Identity(Key.from_text(member.private), Key.from_text(member.preshared), service)
        return SimulatedClient(identity, self._deliver, time.time, self._setup.keepalive)

    def _deliver(self, packet: bytes, _now: float) -> None:
        if not answers(packet, self._number):
            return
        now = time.time()
        (sent,) = _SENT_AT.unpack_from(packet, HEADER + _ICMP.size)
        self._answers += 1
        if self.last:
            self._gap = max(self._gap, now - self.last)
        if self._back is None and sent > self._mark:
            self._back = now - self._mark
        self.last = now

    def _send(self, datagrams: list[bytes]) -> None:
        if self.socket is None:
            return
        for each in datagrams:
            with suppress(OSError):  # as lost as on the way
                self.socket.send(each)


class Process:
    def __init__(self, setup: Setup) -> None:
        self._setup = setup
        self._poll = select.epoll()
        self._pingers = [Pinger(setup, m, number) for number, m in enumerate(setup.members)]
        self._by_name = {pinger.member.name: pinger for pinger in self._pingers}
        self._by_socket: dict[int, Pinger] = {}
        self._due: list[tuple[float, int, Pinger]] = []
        self._joining: list[tuple[float, int, Pinger]] = []
        self._order = 0
        self._swept = 0.0

    def run(self, commands: int) -> None:
        pending = b""
        self._poll.register(commands, select.EPOLLIN | select.EPOLLHUP)
        while True:
            for descriptor, _ in self._poll.poll(self._work()):
                if descriptor != commands:
                    if pinger := self._by_socket.get(descriptor):
                        pinger.readable()
                    continue
                data = os.read(commands, 1 << 20)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._obey(msgspec.json.decode(line, type=Command))

    def _obey(self, command: Command) -> None:
        now = time.monotonic()
        if command.do == "connect":
            chosen = [self._by_name[name] for name in command.names]
            for number, pinger in enumerate(chosen):
                self._push(self._joining, now + number / command.pace, pinger)
        elif command.do == "mark":
            for pinger in self._pingers:
                pinger.mark(time.time())
        say(self._report() if command.do == "report" else Report())

    def _work(self) -> float:
        """Do what is due; seconds until there is more."""
        now = time.monotonic()
        while self._joining and self._joining[0][0] <= now:
            self._join(heapq.heappop(self._joining)[2], now)
        while self._due and self._due[0][0] <= now:
            due, _, pinger = heapq.heappop(self._due)
            pinger.ping()
            self._push(self._due, max(due + self._setup.interval, now), pinger)
        if now - self._swept >= SWEEP:
            self._swept = now
            for pinger in self._pingers:
                pinger.tick(now)
        heads = [queue[0][0] for queue in (self._joining, self._due) if queue]
        return max(0.0, min([*heads, self._swept + SWEEP]) - time.monotonic())

    def _join(self, pinger: Pinger, now: float) -> None:
        first = pinger.socket is None
        if pinger.socket is not None:
            self._by_socket.pop(pinger.socket.fileno(), None)
        with netns.entered(self._setup.netns):
            made = pinger.connect()
        self._by_socket[made.fileno()] = pinger
        self._poll.register(made.fileno(), select.EPOLLIN)
        if first:
            self._push(self._due, now, pinger)
        else:
            pinger.ping()

    def _push(self, queue: list[tuple[float, int, Pinger]], at: float, pinger: Pinger) -> None:
        self._order += 1
        heapq.heappush(queue, (at, self._order, pinger))

    def _report(self) -> Report:
        now = time.time()
        total = summed([c for p in self._pingers for c in (p.spent, p.client.counters)])
        return Report(
            clients=tuple(pinger.report(now) for pinger in self._pingers),
            counters={each.name: getattr(total, each.name) for each in fields(total)},
            busy=time.process_time(),
        )


def summed(many: list[Counters]) -> Counters:
    total = Counters()
    for name in (each.name for each in fields(Counters)):
        setattr(total, name, sum(getattr(one, name) for one in many))
    return total


def echo_request(number: int, sequence: int, payload: bytes) -> bytes:
    """RFC 792."""
    bare = _ICMP.pack(8, 0, 0, number, sequence) + payload
    return _ICMP.pack(8, 0, checksum(bare), number, sequence) + payload


def ipv4(source: IPv4Address, target: IPv4Address, payload: bytes) -> bytes:
    """RFC 791, protocol 1."""
    length = HEADER + len(payload)
    head = struct.pack("!BBHHHBBH", 0x45, 0, length, 0, 0x4000, 64, 1, 0)
    head += source.packed + target.packed
    return head[:10] + checksum(head).to_bytes(2, "big") + head[12:] + payload


def answers(packet: bytes, number: int) -> bool:
    """Is it an echo reply (IPv4 without options) to that identifier?"""
    least = HEADER + _ICMP.size + _SENT_AT.size
    if len(packet) < least or packet[0] != 0x45 or packet[9] != 1:
        return False
    kind, _, _, identifier, _ = _ICMP.unpack_from(packet, HEADER)
    return (kind, identifier) == (0, number)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def say(report: Report) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(report) + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as first:
        setup = codec.from_json(first.readline(), Setup)
    process = Process(setup)
    say(Report())
    process.run(sys.stdin.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
