"""Maps by their descriptors: bytes in, bytes out. Batches where there may be many."""

from __future__ import annotations

import ctypes
import errno
import itertools
import struct
from collections.abc import Iterable, Iterator, Sequence
from ctypes import byref, c_uint32
from dataclasses import dataclass
from typing import TypeVar

from anycastle.agent.takeover.bpf import libbpf
from anycastle.agent.takeover.bpf.libbpf import BatchOptions, CallFailed

_INFO = struct.Struct("=6I")
BATCH = 4096
"""Entries of one system call: about a millisecond, during which it can't be interrupted."""

T = TypeVar("T")


@dataclass(frozen=True)
class Shape:
    """What has to be equal for a map to be used again; the fields of struct bpf_map_info."""

    kind: int
    key_size: int
    value_size: int
    max_entries: int
    flags: int


class Map:
    """One map. Calls raise libbpf.CallFailed; a key that is not there is no error."""

    def __init__(self, descriptor: int, name: str) -> None:
        self.descriptor = descriptor
        self.name = name
        self.shape = shape_of(descriptor)

    def get(self, key: bytes) -> bytes | None:
        value = ctypes.create_string_buffer(self.shape.value_size)
        try:
            libbpf.number("bpf_map_lookup_elem", self.descriptor, key, value)
        except CallFailed as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return value.raw

    def get_of_cpus(self, key: bytes) -> list[bytes]:
        """The values of a per-CPU map, one for each possible CPU; each is padded to 8 bytes."""
        size = -(-self.shape.value_size // 8) * 8
        count = libbpf.number("libbpf_num_possible_cpus")
        values = ctypes.create_string_buffer(size * count)
        libbpf.number("bpf_map_lookup_elem", self.descriptor, key, values)
        rows = (values.raw[at : at + size] for at in range(0, size * count, size))
        return [row[: self.shape.value_size] for row in rows]

    def put(self, key: bytes, value: bytes) -> None:
        libbpf.number("bpf_map_update_elem", self.descriptor, key, value, 0)

    def remove(self, key: bytes) -> None:
        try:
            libbpf.number("bpf_map_delete_elem", self.descriptor, key)
        except CallFailed as error:
            if error.errno != errno.ENOENT:
                raise

    def put_all(self, items: Iterable[tuple[bytes, bytes]]) -> None:
        """Raises CallFailed with E2BIG when the map is full; what fits is in."""
        for part in _parts(items):
            keys, values = zip(*part, strict=True)
            count, options = c_uint32(len(part)), BatchOptions(ctypes.sizeof(BatchOptions))
            libbpf.number(
                "bpf_map_update_batch",
                self.descriptor,
                b"".join(keys),
                b"".join(values),
                byref(count),
                byref(options),
            )

    def remove_all(self, keys: Iterable[bytes]) -> None:
        for part in _parts(keys):
            self._remove_part(part)

    def _remove_part(self, keys: Sequence[bytes]) -> None:
        """The kernel stops at a key that is not there and says how many went before it."""
        done = 0
        while done < len(keys):
            count, options = c_uint32(len(keys) - done), BatchOptions(ctypes.sizeof(BatchOptions))
            rest = b"".join(keys[done:])
            try:
                libbpf.number(
                    "bpf_map_delete_batch", self.descriptor, rest, byref(count), byref(options)
                )
            except CallFailed as error:
                if error.errno != errno.ENOENT:
                    raise
                done += count.value + 1
            else:
                return

    def items(self) -> Iterator[tuple[bytes, bytes]]:
        """All entries of a hash map. Those that come or go meanwhile may be in or not."""
        size = BATCH
        position = ctypes.create_string_buffer(max(4, self.shape.key_size))
        keys = ctypes.create_string_buffer(size * self.shape.key_size)
        values = ctypes.create_string_buffer(size * self.shape.value_size)
        begin: ctypes.Array[ctypes.c_char] | None = None
        more = True
        while more:
            count, options = c_uint32(size), BatchOptions(ctypes.sizeof(BatchOptions))
            try:
                libbpf.number(
                    "bpf_map_lookup_batch",
                    self.descriptor,
                    begin,
                    position,
                    keys,
                    values,
                    byref(count),
                    byref(options),
                )
            except CallFailed as error:  # the last batch ends with ENOENT and has entries, too
                if error.errno != errno.ENOENT:
                    raise
                more = False
            begin = position
            yield from zip(
                _cut(keys.raw, self.shape.key_size, count.value),
                _cut(values.raw, self.shape.value_size, count.value),
                strict=True,
            )


def shape_of(descriptor: int) -> Shape:
    """Raises CallFailed."""
    kind, _id, key, value, entries, flags = _INFO.unpack(libbpf.info(descriptor, _INFO.size))
    return Shape(kind, key, value, entries, flags)


def _cut(data: bytes, size: int, count: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, count * size, size)]


def _parts(items: Iterable[T]) -> Iterator[Sequence[T]]:
    rest = iter(items)
    while part := list(itertools.islice(rest, BATCH)):
        yield part
