"""Programs on devices: filters of the clsact qdisc, which every kernel since 4.5 has.

Ours are known by priority and handle, so that nothing has to be remembered: what is
attached can be asked for, replaced in one step, and taken away by another process.
"""

from __future__ import annotations

import ctypes
import enum
import errno
import socket
from collections.abc import Iterator
from ctypes import byref
from typing import NamedTuple

from anycastle.agent.takeover.bpf import libbpf
from anycastle.agent.takeover.bpf.libbpf import CallFailed, TcHook, TcOptions

PRIORITY = 44
"""Early: what belongs to another node needs no further filter."""
HANDLE = 0xAC05
_REPLACE = 1
_NO_FILTER = frozenset({errno.ENOENT, errno.EINVAL})
"""EINVAL: the device has no clsact qdisc."""


class Side(enum.IntEnum):
    """libbpf's attach points."""

    INGRESS = 1
    EGRESS = 2


class Hook(NamedTuple):
    """A place for one program. device: its interface index."""

    device: int
    side: Side


def attached(hook: Hook) -> int:
    """The id of our program there; 0: none. Raises CallFailed."""
    options = _options()
    try:
        libbpf.number("bpf_tc_query", byref(_hook(hook)), byref(options))
    except CallFailed as error:
        if error.errno in _NO_FILTER:
            return 0
        raise
    return int(options.prog_id)


def attach(hook: Hook, program: int) -> None:
    """Attach the program with this descriptor, in place of an older one. Raises CallFailed."""
    place = _hook(hook)
    try:
        libbpf.number("bpf_tc_hook_create", byref(place))
    except CallFailed as error:
        if error.errno != errno.EEXIST:
            raise
    options = _options()
    options.prog_fd, options.flags = program, _REPLACE
    libbpf.number("bpf_tc_attach", byref(place), byref(options))


def detach(hook: Hook) -> None:
    """Take our program away; the qdisc stays, others may use it. Raises CallFailed."""
    try:
        libbpf.number("bpf_tc_detach", byref(_hook(hook)), byref(_options()))
    except CallFailed as error:
        if error.errno not in _NO_FILTER:
            raise


def of_all_devices() -> Iterator[Hook]:
    """Where ours are now, in the calling thread's namespace. Raises CallFailed."""
    for device, _name in socket.if_nameindex():
        for side in Side:
            hook = Hook(device, side)
            try:
                if attached(hook):
                    yield hook
            except CallFailed as error:
                if error.errno != errno.ENODEV:  # it went away just now
                    raise


def _hook(hook: Hook) -> TcHook:
    return TcHook(ctypes.sizeof(TcHook), hook.device, hook.side, 0)


def _options() -> TcOptions:
    options = TcOptions(ctypes.sizeof(TcOptions))
    options.handle, options.priority = HANDLE, PRIORITY
    return options
