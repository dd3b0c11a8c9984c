"""Wakes the loop when a link, an address or a rule changes.

Routes are not watched: routing daemons change them by the thousand, and those of
ours that the kernel drops go with a link or an address.
"""

from __future__ import annotations

import socket

_GROUPS = (1, 5, 9, 8, 19)  # RTNLGRP_LINK, IPV4_IFADDR, IPV6_IFADDR, IPV4_RULE, IPV6_RULE
_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP = 270, 1
_RECEIVE = 1 << 16


class Watch:
    """A socket for `loop.add_reader`, in the namespace of the thread that makes it."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK,
            socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK,
            socket.NETLINK_ROUTE,
        )
        self._socket.bind((0, 0))
        for group in _GROUPS:
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_ADD_MEMBERSHIP, group)

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self) -> bool:
        """Throw away what has come. True: something has changed since the last call."""
        changed = False
        while True:
            try:
                changed |= bool(self._socket.recv(_RECEIVE))
            except BlockingIOError:
                return changed
            except OSError:  # ENOBUFS: so much has changed that some of it was lost
                changed = True

    def close(self) -> None:
        self._socket.close()
