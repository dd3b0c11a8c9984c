"""Network devices' flags, cheap enough to look at any time."""

from __future__ import annotations

import enum
import fcntl
import socket
import struct

_SIOCGIFFLAGS = 0x8913  # linux/sockios.h


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
