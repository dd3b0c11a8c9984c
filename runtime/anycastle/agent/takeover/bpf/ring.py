"""The ring buffer of events, read by libbpf. It survives the agent with what waits in it."""

from __future__ import annotations

import ctypes

from anycastle.agent.takeover.bpf import layout, libbpf
from anycastle.agent.takeover.bpf.libbpf import explained
from anycastle.agent.takeover.bpf.maps import Map
from anycastle.agent.takeover.path import PacketEvent


class Ring:
    """One reader. Raises PathError."""

    def __init__(self, events: Map) -> None:
        self._came: list[bytes] = []
        self._sample = libbpf.SAMPLE(self._take)  # kept: libbpf holds no reference
        with explained("the ring of packet events can't be read"):
            self._ring = libbpf.pointer(
                "ring_buffer__new", events.descriptor, self._sample, None, None
            )

    def fileno(self) -> int:
        return libbpf.number("ring_buffer__epoll_fd", self._ring)

    def drain(self) -> list[PacketEvent]:
        """Never blocks."""
        with explained("the ring of packet events can't be read"):
            libbpf.number("ring_buffer__consume", self._ring)
        came, self._came = self._came, []
        return [layout.unpack_event(one) for one in came]

    def close(self) -> None:
        libbpf.void("ring_buffer__free", self._ring)

    def _take(self, _context: object, data: int, length: int) -> int:
        if length == layout.EVENT.size:
            self._came.append(ctypes.string_at(data, length))
        return 0
