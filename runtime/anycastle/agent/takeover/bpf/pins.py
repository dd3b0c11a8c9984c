"""The bpffs in which maps and programs outlive the agent.

A directory of our own and not /sys/fs/bpf, which `ip netns exec` hides behind another one.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
from pathlib import Path

from anycastle.agent.takeover.path import PathError

DIRECTORY = Path("/run/anycastle/bpf")
_BPF_FS_MAGIC = 0xCAFE4A11
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC = 2, 4, 8
_libc = ctypes.CDLL(None, use_errno=True)


def mount(directory: Path) -> bool:
    """Make `directory` a bpffs. False: it is one. Raises PathError."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_mounted(directory):
            return False
        flags = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
        if _libc.mount(b"bpf", os.fsencode(directory), b"bpf", flags, b"mode=0700"):
            reason = ctypes.get_errno()
            raise OSError(reason, os.strerror(reason))
    except OSError as error:
        raise PathError(f"no bpffs can be mounted at {directory}: {error.strerror}") from error
    return True


def unmount(directory: Path) -> None:
    """Does nothing where none is mounted. Raises PathError."""
    if not directory.exists() or not is_mounted(directory):
        return
    if _libc.umount2(os.fsencode(directory), 0):
        reason = os.strerror(ctypes.get_errno())
        raise PathError(f"the bpffs at {directory} can't be unmounted: {reason}")


def is_mounted(directory: Path) -> bool:
    """Is a bpffs mounted right there (and not further up)?"""
    if not directory.is_mount():
        return False
    buffer = (ctypes.c_long * 32)()  # struct statfs; its first field is the type
    if _libc.statfs(os.fsencode(directory), buffer):
        reason = ctypes.get_errno()
        raise OSError(reason, os.strerror(reason))
    return int(buffer[0]) == _BPF_FS_MAGIC


def remove(path: Path) -> None:
    """Unpin a file or a whole directory; what is in use elsewhere stays in the kernel."""
    with contextlib.suppress(FileNotFoundError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
