"""The edge to libbpf.so.1 by ctypes: typed calls, errors that carry what libbpf said.

libbpf 1.x returns -errno, or NULL with errno set. What it has to say about a failure (the
verifier's log, why a map can't be reused) goes to a print function, which `explained`
collects for the time of one call sequence and puts into the error.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from collections.abc import Iterator
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint32, c_void_p
from functools import cache
from typing import Any

from anycastle.agent.takeover.path import PathError

SONAME = "libbpf.so.1"
LOG_LIMIT = 3000
"""Characters of libbpf's log that go into an error: the verifier's last lines say why."""
_DEBUG = 2

_PRINT = ctypes.CFUNCTYPE(c_int, c_int, c_char_p, c_void_p)
SAMPLE = ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)
"""What ring_buffer__new calls for each record: (context, data, length) -> 0."""


class TcHook(Structure):
    """struct bpf_tc_hook. attach_point: 1 ingress, 2 egress, 3 both."""

    _fields_ = (
        ("sz", c_size_t),
        ("ifindex", c_int),
        ("attach_point", c_int),
        ("parent", c_uint32),
    )


class TcOptions(Structure):
    """struct bpf_tc_opts. flags: 1 replaces what is there."""

    _fields_ = (
        ("sz", c_size_t),
        ("prog_fd", c_int),
        ("flags", c_uint32),
        ("prog_id", c_uint32),
        ("handle", c_uint32),
        ("priority", c_uint32),
    )


class BatchOptions(Structure):
    """struct bpf_map_batch_opts."""

    _fields_ = (("sz", c_size_t), ("elem_flags", ctypes.c_uint64), ("flags", ctypes.c_uint64))


class TestRunOptions(Structure):
    """struct bpf_test_run_opts, for measurements."""

    _fields_ = (
        ("sz", c_size_t),
        ("data_in", c_void_p),
        ("data_out", c_void_p),
        ("data_size_in", c_uint32),
        ("data_size_out", c_uint32),
        ("ctx_in", c_void_p),
        ("ctx_out", c_void_p),
        ("ctx_size_in", c_uint32),
        ("ctx_size_out", c_uint32),
        ("retval", c_uint32),
        ("repeat", c_int),
        ("duration", c_uint32),
        ("flags", c_uint32),
        ("cpu", c_uint32),
        ("batch_size", c_uint32),
    )


# Of functions that return a pointer; the others return an int, -errno when they fail.
_POINTERS: dict[str, tuple[Any, ...]] = {
    "bpf_object__open_mem": (c_void_p, c_size_t, c_void_p),
    "bpf_object__find_map_by_name": (c_void_p, c_char_p),
    "bpf_object__find_program_by_name": (c_void_p, c_char_p),
    "bpf_object__next_map": (c_void_p, c_void_p),
    "bpf_map__name": (c_void_p,),
    "ring_buffer__new": (c_int, SAMPLE, c_void_p, c_void_p),
}
_NUMBERS: dict[str, tuple[Any, ...]] = {
    "bpf_object__load": (c_void_p,),
    "bpf_map__set_max_entries": (c_void_p, c_uint32),
    "bpf_map__set_pin_path": (c_void_p, c_char_p),
    "bpf_map__type": (c_void_p,),
    "bpf_map__key_size": (c_void_p,),
    "bpf_map__value_size": (c_void_p,),
    "bpf_map__max_entries": (c_void_p,),
    "bpf_map__map_flags": (c_void_p,),
    "bpf_program__pin": (c_void_p, c_char_p),
    "bpf_program__fd": (c_void_p,),
    "bpf_obj_get": (c_char_p,),
    "bpf_obj_get_info_by_fd": (c_int, c_void_p, POINTER(c_uint32)),
    "bpf_map_lookup_elem": (c_int, c_void_p, c_void_p),
    "bpf_map_update_elem": (c_int, c_void_p, c_void_p, ctypes.c_uint64),
    "bpf_map_delete_elem": (c_int, c_void_p),
    "bpf_map_lookup_batch": (
        *(c_int, c_void_p, c_void_p, c_void_p, c_void_p),
        *(POINTER(c_uint32), POINTER(BatchOptions)),
    ),
    "bpf_map_update_batch": (
        *(c_int, c_void_p, c_void_p, POINTER(c_uint32)),
        POINTER(BatchOptions),
    ),
    "bpf_map_delete_batch": (c_int, c_void_p, POINTER(c_uint32), POINTER(BatchOptions)),
    "bpf_tc_hook_create": (POINTER(TcHook),),
    "bpf_tc_attach": (POINTER(TcHook), POINTER(TcOptions)),
    "bpf_tc_detach": (POINTER(TcHook), POINTER(TcOptions)),
    "bpf_tc_query": (POINTER(TcHook), POINTER(TcOptions)),
    "bpf_prog_test_run_opts": (c_int, POINTER(TestRunOptions)),
    "ring_buffer__epoll_fd": (c_void_p,),
    "ring_buffer__consume": (c_void_p,),
    "libbpf_num_possible_cpus": (),
}
_VOIDS: dict[str, tuple[Any, ...]] = {
    "bpf_object__close": (c_void_p,),
    "ring_buffer__free": (c_void_p,),
}


@cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(SONAME, use_errno=True)
    except OSError as error:
        raise PathError(
            f"BPF programs can't be loaded without {SONAME} (Debian: libbpf1): {error}"
        ) from None
    for signatures, result in ((_POINTERS, c_void_p), (_NUMBERS, c_int), (_VOIDS, None)):
        for name, arguments in signatures.items():
            function = getattr(library, name)
            function.argtypes, function.restype = arguments, result
    library.bpf_map__name.restype = c_char_p
    library.libbpf_set_print.argtypes = (c_void_p,)
    library.libbpf_set_print.restype = c_void_p
    library.libbpf_set_print(ctypes.cast(_collect, c_void_p))
    return library


class CallFailed(OSError):
    """A call of libbpf; errno says why."""


def number(name: str, *arguments: object) -> int:
    """Call a function that returns an int. Raises CallFailed, PathError without libbpf."""
    result = int(getattr(_library(), name)(*arguments))
    if result < 0:
        raise CallFailed(-result, os.strerror(-result))
    return result


def pointer(name: str, *arguments: object) -> int:
    """Call a function that returns a pointer. Raises CallFailed for NULL."""
    result = getattr(_library(), name)(*arguments)
    if not result:
        reason = ctypes.get_errno()
        raise CallFailed(reason, os.strerror(reason))
    return int(result)


def void(name: str, *arguments: object) -> None:
    getattr(_library(), name)(*arguments)


def map_names(opened: int) -> Iterator[tuple[str, int]]:
    """(name, map) of an opened object."""
    library, one = _library(), None
    while one := library.bpf_object__next_map(opened, one):
        yield library.bpf_map__name(one).decode(), one


def info(descriptor: int, size: int) -> bytes:
    """The first `size` bytes of struct bpf_map_info or bpf_prog_info. Raises CallFailed."""
    buffer, length = ctypes.create_string_buffer(size), c_uint32(size)
    number("bpf_obj_get_info_by_fd", descriptor, buffer, byref(length))
    return buffer.raw


# libbpf's log ----------------------------------------------------------------


class _Log(threading.local):
    lines: list[str] | None = None


_log = _Log()
_libc = ctypes.CDLL(None)
_libc.vsnprintf.argtypes = (c_char_p, c_size_t, c_char_p, c_void_p)


def _print(level: int, form: bytes, arguments: int) -> int:
    """A va_list is passed on as the pointer that it is on x86-64 and on arm64."""
    if level < _DEBUG and _log.lines is not None:
        text = ctypes.create_string_buffer(1 << 16)
        _libc.vsnprintf(text, len(text), form, arguments)
        _log.lines.append(text.value.decode(errors="replace").removeprefix("libbpf: "))
    return 0


_collect: Any = _PRINT(_print)


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn a failed call into a PathError: what failed, why, and what libbpf said about it."""
    outer, _log.lines = _log.lines, []
    try:
        yield
    except CallFailed as error:
        said = "".join(_log.lines).strip()
        detail = f"; libbpf says:\n{said[-LOG_LIMIT:]}" if said else ""
        raise PathError(f"{what}: {error.strerror}{detail}") from error
    finally:
        _log.lines = outer
