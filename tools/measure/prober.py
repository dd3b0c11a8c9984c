"""The process that sends and receives: `python -m tools.measure.prober`, driven by `probing`.

Answers are stamped by the kernel as they arrive (SO_TIMESTAMPNS), so that a busy machine
makes packets late, and not their times. It ends when its input does.
"""

from __future__ import annotations

import heapq
import os
import select
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress

import msgspec

from tools.measure import netns
from tools.measure.streams import HEADER, Stream
from tools.measure.transfer import Transfer
from tools.measure.wire import Answer, Question, Setup, StreamSpec

SO_RCVBUFFORCE = 33
SO_TIMESTAMPNS = 35
_STAMP = struct.Struct("=qq")
BATCH = 64
BUFFER = 4 << 20
CATCH_UP = 0.25
"""Seconds that a sender makes up for; what it missed before is left out."""


class Prober:
    def __init__(self, setup: Setup) -> None:
        """Raises OSError when a socket can't be made or a transfer not begun."""
        self._poll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._streams = [Stream(number, spec) for number, spec in enumerate(setup.streams)]
        self._echoing: dict[tuple[str, str, int], socket.socket] = {}
        self._sockets = [self._open(stream) for stream in self._streams]
        self._transfers = [Transfer(spec) for spec in setup.transfers]
        for transfer in self._transfers:
            self._watch_transfer(transfer)
        begin = time.time() + 0.05
        count = max(1, len(self._streams))
        # Spread over the first interval, or else all streams send at the same moment.
        self._due = [
            (begin + stream.number / count / stream.spec.rate, stream.number)
            for stream in self._streams
        ]
        heapq.heapify(self._due)

    def run(self, commands: int) -> None:
        """Until the descriptor `commands` has no more."""
        pending = b""
        self._poll.register(commands, select.EPOLLIN | select.EPOLLHUP)
        while True:
            for descriptor, events in self._poll.poll(self._send_due()):
                if descriptor != commands:
                    self._ready[descriptor](events)
                    continue
                data = os.read(commands, 65536)
                if not data:
                    return
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    self._answer(msgspec.json.decode(line, type=Question))

    # sockets ---------------------------------------------------------------

    def _open(self, stream: Stream) -> socket.socket:
        spec = stream.spec
        self._echo_at(spec)
        with netns.entered(spec.netns):
            made = udp(spec.target)
        # Not connected: an ICMP error of a router on the way is no end to a stream.
        self._watch(made, lambda _: self._take(made, stream))
        return made

    def _echo_at(self, spec: StreamSpec) -> None:
        place = spec.target_netns, spec.target, spec.port
        if place in self._echoing:
            return
        with netns.entered(spec.target_netns):
            made = udp(spec.target)
        made.bind((spec.target, spec.port))
        self._echoing[place] = made
        self._watch(made, lambda _: self._echo(made))

    def _watch(self, made: socket.socket, ready: Callable[[int], None]) -> None:
        self._poll.register(made.fileno(), select.EPOLLIN)
        self._ready[made.fileno()] = ready

    def _watch_transfer(self, transfer: Transfer) -> None:
        def sink(_: int) -> None:
            transfer.drain()
            if transfer.broken:
                self._poll.unregister(transfer.sink.fileno())

        def source(_: int) -> None:
            transfer.feed()
            if transfer.broken:
                self._poll.unregister(transfer.source.fileno())

        self._watch(transfer.sink, sink)
        self._poll.register(transfer.source.fileno(), select.EPOLLOUT)
        self._ready[transfer.source.fileno()] = source

    # packets ---------------------------------------------------------------

    def _send_due(self) -> float:
        """Send what is due; seconds until the next."""
        while self._due:
            due, number = self._due[0]
            now = time.time()
            if due > now:
                return due - now
            stream = self._streams[number]
            payload = stream.send(due, now)
            with suppress(OSError):  # lost on the way out: it counts as sent
                self._sockets[number].sendto(payload, (stream.spec.target, stream.spec.port))
            following = max(due + 1 / stream.spec.rate, now - CATCH_UP)
            heapq.heapreplace(self._due, (following, number))
        return 1.0

    def _take(self, made: socket.socket, stream: Stream) -> None:
        for payload, at, _ in received(made):
            number, packet = HEADER.unpack_from(payload)
            if number == stream.number:
                stream.answered(packet, at)

    def _echo(self, made: socket.socket) -> None:
        for payload, at, sender in received(made):
            number, packet = HEADER.unpack_from(payload)
            if number < len(self._streams):
                self._streams[number].echoed(packet, at)
                with suppress(OSError):
                    made.sendto(payload, sender)

    # answers ---------------------------------------------------------------

    def _answer(self, question: Question) -> None:
        now = time.time()
        if question.ask == "live":
            since = question.since
            say(Answer(live=tuple(stream.live(now, since) for stream in self._streams)))
            return
        since, until = question.since, question.until
        say(
            Answer(
                summaries=tuple(stream.summary(since, until) for stream in self._streams),
                moved=tuple(transfer.moved(since, until) for transfer in self._transfers),
            )
        )
        if question.forget:
            for stream in self._streams:
                stream.forget(since)
            for transfer in self._transfers:
                transfer.forget(since)


def udp(target: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    # Beyond net.core.rmem_max, which belongs to the whole machine.
    made.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, BUFFER)
    return made


def received(made: socket.socket) -> list[tuple[bytes, float, tuple[str, int]]]:
    """(payload, epoch seconds of its arrival, sender) of some datagrams that wait."""
    found = []
    for _ in range(BATCH):
        try:
            payload, ancillary, _, sender = made.recvmsg(2048, 64)
        except OSError:
            break
        at = time.time()
        for level, kind, data in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, SO_TIMESTAMPNS):
                seconds, nanoseconds = _STAMP.unpack_from(data)
                at = seconds + nanoseconds / 1e9
        if len(payload) >= HEADER.size:
            found.append((payload, at, sender))
    return found


def say(answer: Answer) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
    sys.stdout.buffer.flush()


def main() -> int:
    # Unbuffered, so that `run` finds everything behind the first line.
    with os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0) as first:
        setup = msgspec.json.decode(first.readline(), type=Setup)
    with suppress(PermissionError):
        os.nice(setup.priority)
    try:
        prober = Prober(setup)
    except OSError as error:
        sys.stderr.write(f"no measuring: {error}\n")
        return 1
    say(Answer())
    prober.run(sys.stdin.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
