"""A measured stream of UDP echoes between two namespaces: what was lost, and the gaps."""

from __future__ import annotations

import contextlib
import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.support.namespaces import Namespace

_NUMBER = struct.Struct("=Q")
_DRAINED = 2.0
"""Seconds for the last echoes to come back."""


@dataclass
class Stream:
    """Times (monotonic seconds) by number: of sending, of arriving, of coming back."""

    sent: dict[int, float] = field(default_factory=dict)
    arrived: dict[int, list[float]] = field(default_factory=dict)
    returned: dict[int, list[float]] = field(default_factory=dict)

    @property
    def lost_up(self) -> list[int]:
        return [number for number in self.sent if number not in self.arrived]

    @property
    def lost_down(self) -> list[int]:
        return [number for number in self.arrived if number not in self.returned]

    @property
    def repeated(self) -> list[int]:
        """Numbers that came more than once, on either way."""
        times = (*self.arrived.items(), *self.returned.items())
        return [number for number, seen in times if len(seen) > 1]

    @property
    def longest_gap(self) -> float:
        """Seconds between two echoes that came back."""
        moments = sorted(at for seen in self.returned.values() for at in seen)
        return max((b - a for a, b in itertools.pairwise(moments)), default=float("inf"))

    def __str__(self) -> str:
        return (
            f"{len(self.sent)} sent, lost {len(self.lost_up)} up and {len(self.lost_down)} down, "
            f"{len(self.repeated)} repeated, longest gap {1000 * self.longest_gap:.0f} ms"
        )


@contextmanager
def echoes(
    client: Namespace, server: Namespace, address: str, *, rate: float, size: int, port: int = 7000
) -> Iterator[Stream]:
    """`rate` echoes a second of `size` bytes to `address`, for as long as the block runs.

    The stream is complete when the block has ended.
    """
    stream, over, ended = Stream(), threading.Event(), threading.Event()
    with server.entered():
        far = _socket()
    with client.entered():
        near = _socket()
    far.bind((address, port))
    near.connect((address, port))
    readers = [
        threading.Thread(target=_serve, args=(far, stream, ended)),
        threading.Thread(target=_listen, args=(near, stream, ended)),
    ]
    sender = threading.Thread(target=_send, args=(near, stream, over, rate, size))
    with far, near:
        for thread in (*readers, sender):
            thread.start()
        try:
            yield stream
        finally:
            over.set()
            sender.join()
            _wait_for_the_last(stream)
            ended.set()
            for thread in readers:
                thread.join()


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    made.settimeout(0.2)
    return made


def _send(
    near: socket.socket, stream: Stream, over: threading.Event, rate: float, size: int
) -> None:
    began = time.monotonic()
    for number in itertools.count():
        if over.wait(max(0.0, began + number / rate - time.monotonic())):
            return
        stream.sent[number] = time.monotonic()
        near.send(_NUMBER.pack(number).ljust(size, b"e"))


def _serve(far: socket.socket, stream: Stream, ended: threading.Event) -> None:
    for data, source in _received(far, ended):
        _note(stream.arrived, data)
        far.sendto(data, source)


def _listen(near: socket.socket, stream: Stream, ended: threading.Event) -> None:
    for data, _ in _received(near, ended):
        _note(stream.returned, data)


def _received(
    bound: socket.socket, ended: threading.Event
) -> Iterator[tuple[bytes, tuple[str, int]]]:
    while not ended.is_set():
        # A refusal is an ICMP error that came late.
        with contextlib.suppress(TimeoutError, ConnectionRefusedError):
            yield bound.recvfrom(2048)


def _note(times: dict[int, list[float]], data: bytes) -> None:
    times.setdefault(_NUMBER.unpack_from(data)[0], []).append(time.monotonic())


def _wait_for_the_last(stream: Stream) -> None:
    deadline = time.monotonic() + _DRAINED
    while time.monotonic() < deadline and len(stream.returned) < len(stream.sent):
        time.sleep(0.02)
