"""The socket that the kernel's log rules write to (nfnetlink_log)."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable

from anycastle.agent.netlink.socket import (
    NETLINK_NETFILTER,
    NLM_F_ACK,
    NetlinkError,
    NetlinkSocket,
    messages,
)
from anycastle.agent.takeover.nft.nflog import (
    CONFIG,
    PACKET,
    NoEvent,
    Notice,
    bind_bodies,
    missed,
    notice,
)
from anycastle.agent.takeover.path import PacketEvent, PathError

_SNAP = 68  # bytes: the longest IPv4 header, and the ports
_BUFFER = 4 << 20
_RECEIVE = 1 << 16
_MOST = 4096
"""Events of one `drain`: twice what the rate limit lets through in a second."""


class NflogReader:
    """Events of one log group, in the namespace of the thread that makes it.

    One reader at a time can have a group: raises PathError when another process has it.
    """

    def __init__(self, group: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._previous: int | None = None
        self.lost = 0
        self._netlink = NetlinkSocket(NETLINK_NETFILTER)
        try:
            for body in bind_bodies(group, _SNAP):
                self._netlink.transact([(CONFIG, NLM_F_ACK, body)])
        except NetlinkError as error:
            self._netlink.close()
            held = " (another program reads it)" if error.errno == errno.EPERM else ""
            raise PathError(f"log group {group} can't be read{held}: {error.strerror}") from error
        self._socket = self._netlink.subscribe(_BUFFER)

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> list[PacketEvent]:
        """What waits, oldest first; times are those of reading."""
        events: list[PacketEvent] = []
        while len(events) < _MOST:
            try:
                data = self._socket.recv(_RECEIVE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # some were dropped: their numbers will be missing
            events += self._events(data)
        return events

    def close(self) -> None:
        self._netlink.close()

    def _events(self, data: bytes) -> list[PacketEvent]:
        found = [
            self._event(data[start:end])
            for kind, _, _, start, end in messages(data)
            if kind == PACKET
        ]
        return [event for event in found if event is not None]

    def _event(self, body: bytes) -> PacketEvent | None:
        try:
            seen: Notice = notice(body)
        except NoEvent:
            return None
        self.lost += missed(self._previous, seen.number)
        self._previous = seen.number
        return PacketEvent(seen.kind, seen.endpoint, self._clock())
