"""Edge: room in wireguard-go's sockets for the moments in which it does not run.

Linux's default, 208 KiB, holds some 270 small packets or 90 full-size ones: what a node
gets in some tenths of a second while it takes over many clients, and has the least
processor time to spare. wireguard-go asks for 7 MiB itself since 2023 (its
conn/controlfns_linux.go); Debian 12's is older. Its sockets are borrowed by
pidfd_getfd(2), which needs what root has. The machine's own limits (net.core.rmem_max)
stay as they are.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

SIZE = 7 << 20
"""Bytes for each direction, as wireguard-go has it."""

_PIDFD_GETFD = 438  # the same on every architecture (include/uapi/asm-generic/unistd.h)
_SO_SNDBUFFORCE, _SO_RCVBUFFORCE = 32, 33  # asm-generic/socket.h
_UCRED = struct.Struct("iII")  # struct ucred: pid, uid, gid
_libc = ctypes.CDLL(None, use_errno=True)


def deepen(pid: int) -> int:
    """Give a process's UDP sockets SIZE bytes each way; how many of them had less.

    Raises OSError: the process is gone, or this one may not do that (EPERM: a container
    whose system call filter has no pidfd_getfd).
    """
    process = os.pidfd_open(pid)
    try:
        return sum(_deepen(each) for each in _sockets(process, pid))
    finally:
        os.close(process)


def peer(connection: socket.socket) -> int:
    """The id of the process that listens at the other end of a Unix connection, unix(7)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    pid, _, _ = _UCRED.unpack(credentials)
    return int(pid)


def _sockets(process: int, pid: int) -> Iterator[socket.socket]:
    """The process's UDP sockets, each for the time of one turn."""
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        descriptor = _borrow(process, int(entry.name)) if _is_socket(entry) else None
        if descriptor is None:
            continue
        with socket.socket(fileno=descriptor) as found:
            internet = found.family in (socket.AF_INET, socket.AF_INET6)
            if internet and found.type == socket.SOCK_DGRAM:
                yield found


def _is_socket(entry: Path) -> bool:
    try:
        return str(entry.readlink()).startswith("socket:")
    except FileNotFoundError:  # closed since it was listed
        return False


def _borrow(process: int, descriptor: int) -> int | None:
    """A descriptor of ours for the same file; None when the process has closed it."""
    borrowed = _libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
    if borrowed >= 0:
        return int(borrowed)
    number = ctypes.get_errno()
    if number == errno.EBADF:
        return None
    raise OSError(number, f"pidfd_getfd: {os.strerror(number)}")


def _deepen(found: socket.socket) -> bool:
    if found.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= SIZE:
        return False
    found.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, SIZE)
    found.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, SIZE)
    return True
