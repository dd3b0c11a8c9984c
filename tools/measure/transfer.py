"""One TCP transfer between two namespaces, at a rate that the kernel paces (SO_MAX_PACING_RATE).

Congestion control cubic unless asked otherwise: BBR lowers its rate for 200 ms every ten
seconds by itself, which looks like a stall.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time
from collections import deque
from itertools import pairwise

from tools.measure import netns
from tools.measure.wire import Moved, TransferSpec

SO_MAX_PACING_RATE = 47
TOTAL_RETRANSMITS_AT = 100
"""Offset of tcpi_total_retrans in struct tcp_info (linux/tcp.h)."""
CHUNK = bytes(65536)
CONNECT_SECONDS = 20.0


class Transfer:
    """A standing connection; `feed` and `drain` when its sockets are ready."""

    def __init__(self, spec: TransferSpec) -> None:
        """Raises OSError when it does not come about."""
        self.spec = spec
        near, far = connect(spec)
        self.source, self.sink = (far, near) if spec.down else (near, far)
        prepare(self.source, spec)
        self.source.setblocking(False)
        self.sink.setblocking(False)
        self.broken = ""
        self._read: deque[tuple[float, int]] = deque()
        self._retransmits: deque[tuple[float, int]] = deque([(0.0, 0)])

    def feed(self) -> None:
        """Write as much as the kernel takes."""
        try:
            while self.source.send(CHUNK):
                pass
        except BlockingIOError:
            pass
        except OSError as error:
            self._end(error)

    def drain(self) -> None:
        """Read what is there."""
        with contextlib.suppress(BlockingIOError):
            try:
                count = len(self.sink.recv(1 << 20))
            except OSError as error:
                self._end(error)
                return
            now = time.time()
            self._read.append((now, count))
            self._note(now)

    def forget(self, before: float) -> None:
        while self._read and self._read[0][0] < before:
            self._read.popleft()
        while len(self._retransmits) > 1 and self._retransmits[1][0] < before:
            self._retransmits.popleft()

    def moved(self, since: float, until: float) -> Moved:
        self._note(time.time())
        chosen = [(at, count) for at, count in self._read if since <= at <= until]
        times = [since, *(at for at, _ in chosen), until]
        return Moved(
            name=self.spec.name,
            received=sum(count for _, count in chosen),
            seconds=until - since,
            gap=max(later - earlier for earlier, later in pairwise(times)),
            retransmitted=self._total(until) - self._total(since),
            broken=self.broken,
        )

    def close(self) -> None:
        self.source.close()
        self.sink.close()

    def _total(self, at: float) -> int:
        return next((count for when, count in reversed(self._retransmits) if when <= at), 0)

    def _note(self, now: float) -> None:
        if self.broken:
            return
        info = self.source.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
        (total,) = struct.unpack_from("=I", info, TOTAL_RETRANSMITS_AT)
        if total != self._retransmits[-1][1]:
            self._retransmits.append((now, total))

    def _end(self, error: OSError) -> None:
        self.broken = errno.errorcode.get(error.errno or 0, str(error))


def connect(spec: TransferSpec) -> tuple[socket.socket, socket.socket]:
    """(the client's end, the target's end). Raises OSError."""
    family = socket.AF_INET6 if ":" in spec.target else socket.AF_INET
    with netns.entered(spec.target_netns):
        listener = socket.create_server((spec.target, spec.port), family=family, backlog=1)
    with listener:
        listener.settimeout(CONNECT_SECONDS)
        with netns.entered(spec.netns):
            near = socket.socket(family, socket.SOCK_STREAM)
        near.settimeout(CONNECT_SECONDS)
        near.connect((spec.target, spec.port))
        far, _ = listener.accept()
    return near, far


def prepare(source: socket.socket, spec: TransferSpec) -> None:
    source.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, spec.congestion.encode())
    source.setsockopt(socket.SOL_SOCKET, SO_MAX_PACING_RATE, int(spec.rate / 8))
    # Little is kept back, so that the reader's gaps are the network's.
    source.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 256 * 1024)
