"""Compiles the packet program: when the wheel is built, and in a checkout. Stdlib only.

clang puts debugging information beside the types (BTF) that the loader needs; libbpf's own
linker then keeps the types and drops the rest, so no further tool is asked for. The bytes
depend on the source, its headers and the compiler only, not on where or when it ran.
"""

from __future__ import annotations

import ctypes
import functools
import os
import subprocess
import sysconfig
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent.parent / "takeover.bpf.c"
HEADERS = "headers"
"""Folder beside the source, of the headers that it includes."""
OBJECT = SOURCE.with_suffix(".o")
PACKAGES = "clang libbpf-dev linux-libc-dev"
FLAGS = (
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-target",
    "bpfel",
    "-mcpu=v3",  # atomics that return the old value: Linux 5.12
    "-fdebug-compilation-dir=.",
)


class BuildFailed(Exception):
    """The program can't be compiled; the text says what to install, or what clang said."""


def compile_program(target: Path, source: Path = SOURCE) -> None:
    """Compile `source` into `target`, all or nothing. Raises BuildFailed."""
    target = target.absolute()  # clang runs in the source's directory
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        raw, done = Path(scratch) / "raw.o", Path(scratch) / "done.o"
        _clang([*FLAGS, *_headers(), "-c", source.name, "-o", str(raw)], source)
        _link(raw, done)
        done.replace(target)


def check(source: Path) -> None:
    """Does it compile, warnings counted? Raises BuildFailed."""
    _clang([*FLAGS, *_headers(), f"-I{SOURCE.parent}", "-fsyntax-only", source.name], source)


def compile_in_place() -> bool:
    """Bring a checkout's object up to date. False: it was. Raises BuildFailed."""
    if is_current():
        return False
    compile_program(OBJECT, SOURCE)
    return True


def sources() -> list[Path]:
    """The C source and its own headers."""
    return [SOURCE, *sorted((SOURCE.parent / HEADERS).glob("*.h"))]


def is_current() -> bool:
    """Is the checkout's object newer than what it is made of?"""
    made_of = (*sources(), Path(__file__))
    return OBJECT.exists() and all(
        OBJECT.stat().st_mtime_ns >= file.stat().st_mtime_ns for file in made_of
    )


def compiler() -> str:
    """What decides about the bytes besides the source, as text. Raises BuildFailed."""
    return f"{_clang(['--version'], SOURCE)}{' '.join(FLAGS)}"


def _clang(arguments: list[str], source: Path) -> str:
    try:
        done = subprocess.run(
            ["clang", *arguments], cwd=source.parent, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        raise BuildFailed(
            f"the packet program needs clang; on Debian: apt install {PACKAGES}"
        ) from None
    if done.returncode:
        said = "\n".join(done.stderr.splitlines()[:20])
        raise BuildFailed(
            f"clang could not compile {source.name} (headers missing? apt install {PACKAGES}):"
            f"\n{said}"
        )
    return done.stdout


def _headers() -> list[str]:
    """Where <asm/types.h> lies: clang does not look there for the bpf target."""
    return [f"-I/usr/include/{sysconfig.get_config_var('MULTIARCH') or ''}"]


def _link(raw: Path, target: Path) -> None:
    library = _library()
    library.bpf_linker__new.restype = ctypes.c_void_p
    linker = library.bpf_linker__new(os.fsencode(target), None)
    if not linker:
        raise BuildFailed(f"libbpf can't write {target}: {os.strerror(ctypes.get_errno())}")
    handle = ctypes.c_void_p(linker)
    try:
        failed = library.bpf_linker__add_file(handle, os.fsencode(raw), None)
        failed = failed or library.bpf_linker__finalize(handle)
    finally:
        library.bpf_linker__free(handle)
    if failed:
        raise BuildFailed(f"libbpf can't link {raw.name}: {os.strerror(-failed)}")


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        return ctypes.CDLL("libbpf.so.1", use_errno=True)
    except OSError:
        raise BuildFailed(
            f"the packet program needs libbpf 1.x; on Debian: apt install {PACKAGES}"
        ) from None
