"""Makes bundles reproducibly: the same sources and locks give the same bytes, and so the same version.

A bundle is a tar of the runtime's wheel, the wheels of the role's lock file, and the install script. It
lies in the cache under the hash of what went into it; asking again costs one hash over runtime/.
"""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tools import packet_program
from tools.places import CHECKOUT, cache_root, digest, digest_files

Role = Literal["agent", "control"]
Cloud = Literal["", "aws"]

SOURCE_DATE_EPOCH = 1_704_067_200  # 2024-01-01: a date, not a secret; zip can't go below 1980
TARGET_SCRIPTS = ("install.sh", "unpack.py")
PYTHON = ("--implementation=cp", "--python-version=3.11", "--abi=cp311", "--abi=abi3", "--abi=none")
GLIBC = ("2_36", "2_35", "2_34", "2_31", "2_28", "2_27", "2_24", "2_17")
NOT_SOURCE = frozenset({"build", "dist", "__pycache__"})
GENERATED = frozenset({".pyc", ".o"})


class BundleFailed(Exception):
    """A wheel could not be built or fetched; the text holds the last lines of why."""


@dataclass(frozen=True)
class Bundle:
    """`version`: 16 hex digits, a hash of everything inside; `archive`: the tar in the cache."""

    role: str
    version: str
    archive: Path


def build(
    role: Role, architecture: str = "x86_64", checkout: Path = CHECKOUT, cloud: Cloud = ""
) -> Bundle:
    """The bundle of `role` for hosts of `architecture` (x86_64 or aarch64); raises BundleFailed.

    cloud: whose services the hosts talk to themselves ("" none); it chooses the lock file.
    """
    sources = digest_files(source_files(checkout / "runtime"), compiler(), root=checkout)
    lock = checkout / "requirements" / f"{role}{cloud and f'-{cloud}'}.txt"
    scripts = [(Path(__file__).parent / name).read_bytes() for name in TARGET_SCRIPTS]
    version = digest(role, architecture, sources, lock.read_bytes(), *scripts)
    bundle = Bundle(role, version, cache_root() / "bundles" / f"{role}-{version}.tar")
    if not bundle.archive.exists():
        with alone():
            if not bundle.archive.exists():
                make(bundle, lock, checkout, architecture, sources)
    return bundle


def compiler() -> str:
    """The wheel holds a compiled program, so the compiler is one of its sources."""
    try:
        return packet_program.compiler()
    except RuntimeError as error:
        raise BundleFailed(str(error)) from error


def source_files(runtime: Path) -> list[Path]:
    """What belongs to the distribution `runtime`, generated files left out."""
    return [
        path
        for path in runtime.rglob("*")
        if path.is_file()
        and not NOT_SOURCE.intersection(path.relative_to(runtime).parts)
        and not any(part.endswith(".egg-info") for part in path.parts)
        and path.suffix not in GENERATED
    ]


def make(bundle: Bundle, lock: Path, checkout: Path, architecture: str, sources: str) -> None:
    wheels = [
        runtime_wheel(checkout / "runtime", sources),
        *locked_wheels(lock, architecture),
    ]
    members: dict[str, bytes] = {f"wheels/{wheel.name}": wheel.read_bytes() for wheel in wheels}
    members |= {name: (Path(__file__).parent / name).read_bytes() for name in TARGET_SCRIPTS}
    members |= {"role": f"{bundle.role}\n".encode(), "version": f"{bundle.version}\n".encode()}
    partial = bundle.archive.with_suffix(".partial")
    partial.write_bytes(tar(members))
    partial.rename(bundle.archive)


def tar(members: dict[str, bytes]) -> bytes:
    """A tar of these files, the same bytes whenever and by whomever it is made."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(members):
            entry = tarfile.TarInfo(name)
            entry.size = len(members[name])
            entry.mtime = SOURCE_DATE_EPOCH
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(members[name]))
    return out.getvalue()


def runtime_wheel(runtime: Path, sources: str) -> Path:
    """The wheel of the distribution `runtime`, built in a copy; `sources` is the hash of what it is made of."""
    folder = cache_root() / "wheels" / f"runtime-{sources}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=prepared(folder.parent)) as scratch:
            copy = Path(scratch) / "runtime"
            for file in source_files(runtime):
                target = copy / file.relative_to(runtime)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
                target.chmod(0o644)
            out = Path(scratch) / "out"
            pip(
                [
                    "wheel",
                    "--no-index",
                    "--no-deps",
                    "--no-build-isolation",
                    "-w",
                    str(out),
                    str(copy),
                ]
            )
            out.rename(folder)
    return next(folder.glob("*.whl"))


def locked_wheels(lock: Path, architecture: str) -> list[Path]:
    """The wheels of a lock file with hashes, for Debian 12's Python on `architecture`."""
    folder = cache_root() / "wheels" / f"{lock.stem}-{digest(lock.read_bytes(), architecture)}"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=prepared(folder.parent)) as scratch:
            out = Path(scratch) / "out"
            pip(
                [
                    "download",
                    "--require-hashes",
                    "--no-deps",
                    "--only-binary=:all:",
                    *PYTHON,
                    *platforms(architecture),
                    "-r",
                    str(lock),
                    "-d",
                    str(out),
                ]
            )
            out.rename(folder)
    return sorted(folder.glob("*.whl"))


def platforms(architecture: str) -> list[str]:
    """pip's names for what runs on Debian 12 (glibc 2.36), the newest first."""
    return [f"--platform=manylinux_{version}_{architecture}" for version in GLIBC] + [
        f"--platform=manylinux2014_{architecture}"
    ]


def pip(arguments: Sequence[str]) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(SOURCE_DATE_EPOCH), "PYTHONHASHSEED": "0"}
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    ended = subprocess.run(
        command, capture_output=True, text=True, env=environment, umask=0o022, check=False
    )
    if ended.returncode != 0:
        said = "\n".join((ended.stdout + ended.stderr).splitlines()[-12:])
        raise BundleFailed(f"pip {arguments[0]} failed:\n{said}")


@contextmanager
def alone() -> Iterator[None]:
    """One bundle at a time is made in a cache; the lock goes with the process."""
    with (prepared(cache_root() / "bundles") / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def prepared(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
