"""The loaded program: its maps and its three entry points, new or found pinned.

    DIRECTORY/maps-LAYOUT/NAME         maps, for every version of the program of that layout
    DIRECTORY/programs-VERSION/NAME    programs; VERSION: hash of the object and the sizes

The same version is taken over as it is. Another one is loaded beside it, with the maps
that it can use; a map of another shape is left behind, and its replacement starts empty.
The old one's pins go when nothing is attached from there any more (`Program.alone`).
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from anycastle.agent.takeover.bpf import libbpf, pins
from anycastle.agent.takeover.bpf.layout import LAYOUT, Sizes
from anycastle.agent.takeover.bpf.libbpf import CallFailed, explained
from anycastle.agent.takeover.bpf.maps import Map, Shape, shape_of
from anycastle.agent.takeover.path import PathError

OBJECT = Path(__file__).parent.parent / "takeover.bpf.o"
EGRESS, INGRESS, FABRIC = "takeover_egress", "takeover_ingress", "takeover_fabric"
PROGRAMS = (EGRESS, INGRESS, FABRIC)
INDICES = ("mine", "negotiated")
SETTINGS = "settings"
MAPS = (*INDICES, SETTINGS, "relays", "fragments", "bucket", "counters", "events")
_ID = struct.Struct("=4xI")


@dataclass(frozen=True)
class Program:
    """maps, programs: descriptors, the programs' with their ids. loaded: it was not pinned."""

    directory: Path
    version: str
    maps: Mapping[str, Map]
    programs: Mapping[str, tuple[int, int]]
    loaded: bool

    def alone(self) -> None:
        """Unpin every other version and layout."""
        kept = {_maps(self.directory), _programs(self.directory, self.version)}
        for path in pinned(self.directory):
            if path not in kept:
                pins.remove(path)

    def close(self) -> None:
        for one in self.maps.values():
            os.close(one.descriptor)
        for descriptor, _id in self.programs.values():
            os.close(descriptor)


def pinned(directory: Path) -> list[Path]:
    """Our own pins of any version; some kernels put files of theirs beside them."""
    return [*directory.glob("maps-*"), *directory.glob("programs-*")]


def read_object(path: Path = OBJECT) -> bytes:
    """Raises PathError when the package came without."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise PathError(
            f"the packet program {path} is missing ({error.strerror}): in a checkout, `make setup` "
            "compiles it; a wheel that was built elsewhere has to contain it"
        ) from error


def obtain(directory: Path, sizes: Sizes, code: bytes) -> Program:
    """Take over what is pinned, else load. `directory` is a bpffs. Raises PathError."""
    version = hashlib.sha256(repr(sizes).encode() + code).hexdigest()[:16]
    found = _pinned(directory, version)
    if found is not None:
        return Program(directory, version, *found, loaded=False)
    _load(directory, version, sizes, code)
    made = _pinned(directory, version)
    if made is None:
        raise PathError(f"what was loaded is not at {directory}: another process unpinned it")
    return Program(directory, version, *made, loaded=True)


# pinned ------------------------------------------------------------------------


def _maps(directory: Path) -> Path:
    return directory / f"maps-{LAYOUT}"


def _programs(directory: Path, version: str) -> Path:
    return directory / f"programs-{version}"


def _pinned(
    directory: Path, version: str
) -> tuple[dict[str, Map], dict[str, tuple[int, int]]] | None:
    """What is pinned; None: not all of it."""
    with contextlib.ExitStack() as undo:
        maps, programs = {}, {}
        for name in PROGRAMS:
            descriptor = _open(_programs(directory, version) / name)
            if descriptor is None:
                return None
            undo.callback(os.close, descriptor)
            (number,) = _ID.unpack(libbpf.info(descriptor, _ID.size))
            programs[name] = (descriptor, number)
        for name in MAPS:
            descriptor = _open(_maps(directory) / name)
            if descriptor is None:
                return None
            undo.callback(os.close, descriptor)
            maps[name] = Map(descriptor, name)
        undo.pop_all()
        return maps, programs


def _open(path: Path) -> int | None:
    with explained(f"the pinned {path} can't be opened"):
        try:
            return libbpf.number("bpf_obj_get", os.fsencode(path))
        except CallFailed as error:
            if error.errno == errno.ENOENT:
                return None
            raise


# loading -----------------------------------------------------------------------


def _load(directory: Path, version: str, sizes: Sizes, code: bytes) -> None:
    """Load and pin."""
    folder = _programs(directory, version)
    pins.remove(folder)  # of a load that was interrupted
    for made in (_maps(directory), folder):
        made.mkdir(exist_ok=True)
    with _opened(code) as opened, explained("the kernel does not take the packet program"):
        maps = dict(libbpf.map_names(opened))
        for name, entries in sizes.items():
            libbpf.number("bpf_map__set_max_entries", maps[name], entries)
        kept = [_keep(maps[name], _maps(directory) / name) for name in INDICES]
        if not all(kept):  # so they are empty: new settings, too, in which nothing is trusted
            pins.remove(_maps(directory) / SETTINGS)
        for name in MAPS:
            _keep(maps[name], _maps(directory) / name)
        libbpf.number("bpf_object__load", opened)
        for name in PROGRAMS:
            program = libbpf.pointer("bpf_object__find_program_by_name", opened, name.encode())
            libbpf.number("bpf_program__pin", program, os.fsencode(folder / name))


@contextlib.contextmanager
def _opened(code: bytes) -> Iterator[int]:
    buffer = ctypes.create_string_buffer(code, len(code))
    with explained("the packet program is damaged"):
        opened = libbpf.pointer("bpf_object__open_mem", buffer, len(code), None)
    try:
        yield opened
    finally:
        libbpf.void("bpf_object__close", opened)


def _keep(wanted: int, path: Path) -> bool:
    """Have libbpf use the map pinned at `path` or pin the new one there; is there one to use?"""
    descriptor = _open(path)
    if descriptor is not None:
        shape = shape_of(descriptor)
        os.close(descriptor)
        if shape != _shape(wanted):
            pins.remove(path)
            descriptor = None
    libbpf.number("bpf_map__set_pin_path", wanted, os.fsencode(path))
    return descriptor is not None


def _shape(wanted: int) -> Shape:
    fields = ("type", "key_size", "value_size", "max_entries", "map_flags")
    return Shape(*(libbpf.number(f"bpf_map__{field}", wanted) for field in fields))
