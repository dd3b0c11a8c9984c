"""Network devices' flags, and the kernel's word when a link changes."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import fcntl
import socket
import struct
from collections.abc import Callable

_SIOCGIFFLAGS = 0x8913  # linux/sockios.h
_RTMGRP_LINK = 1  # linux/rtnetlink.h


class LinkFlag(enum.Flag, boundary=enum.FlagBoundary.KEEP):
    """Those of netdevice(7) that matter here."""

    UP = 0x1
    RUNNING = 0x40


def flags(device: str) -> LinkFlag | None:
    """The flags of a device in this network namespace; None: there is no such device."""
    request = struct.pack("16sH22x", device.encode(), 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            answer = fcntl.ioctl(asker, _SIOCGIFFLAGS, request)
        except OSError:
            return None
    return LinkFlag(struct.unpack_from("16sH", answer)[1])


class LinkEvents:
    """Calls `changed` whenever the kernel reports a change of some link (rtnetlink(7)).

    What changed is not told: the listener looks for itself, which also covers events
    that were lost because the socket's buffer was full.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        self._changed = changed
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, _RTMGRP_LINK))
        asyncio.get_running_loop().add_reader(self._socket, self._read)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._socket)
        self._socket.close()

    def _read(self) -> None:
        # BlockingIOError: all is read. ENOBUFS: events were lost; look all the same.
        with contextlib.suppress(OSError):
            while self._socket.recv(1 << 16):
                pass
        self._changed()
