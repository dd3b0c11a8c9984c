"""Edge: a host's disk, the writable layer over the image.

While the host does not run, its files are written into the layer itself; while it
runs, through a process in its own namespaces (overlayfs does not see changes made
behind its back, and the host's symbolic links must not lead into this machine).
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path, PurePosixPath

WORLD_UNITS = PurePosixPath("/etc/systemd/system")
_WRITE = 'mkdir -p "$(dirname "$1")" && cat >"$1.new" && chmod "$2" "$1.new" && mv "$1.new" "$1"'


class DiskError(RuntimeError):
    """A file could not be put on a running host."""


def write(upper: Path, image: Path, path: str, text: str, mode: int = 0o644) -> None:
    """Put a file on the disk of a host that does not run."""
    target = _below(upper, path)
    make_parents(upper, image, path)
    target.unlink(missing_ok=True)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    target.chmod(mode)


def remove(upper: Path, path: str) -> None:
    """Remove a file that was written here; one of the image comes to light again."""
    _below(upper, path).unlink(missing_ok=True)


def enable(upper: Path, image: Path, unit: str) -> None:
    """Have a systemd unit started at boot."""
    path = str(WORLD_UNITS / "multi-user.target.wants" / unit)
    make_parents(upper, image, path)
    own = _below(upper, str(WORLD_UNITS / unit)).exists()
    target = WORLD_UNITS / unit if own else PurePosixPath("/lib/systemd/system") / unit
    link = _below(upper, path)
    link.unlink(missing_ok=True)
    link.symlink_to(target)


def make_parents(upper: Path, image: Path, path: str) -> None:
    """Make the directories above `path`, with owner and mode of the image's own.

    A directory of the upper layer decides about the merged one's permissions.
    """
    for parent in reversed(PurePosixPath(path).parents):
        directory = _below(upper, str(parent))
        if directory.exists():
            continue
        directory.mkdir()
        original = _below(image, str(parent))
        if original.is_dir():
            shutil.copystat(original, directory)
            status = original.stat()
            os.chown(directory, status.st_uid, status.st_gid)


def write_running(leader: int, path: str, text: str, mode: int = 0o644) -> None:
    """Put a file on a running host; `leader` is its PID 1. Raises DiskError."""
    run_inside(leader, ["sh", "-c", _WRITE, "sh", path, f"{mode:o}"], text)


def remove_running(leader: int, path: str) -> None:
    run_inside(leader, ["rm", "-f", path])


def run_inside(leader: int, command: list[str], text: str = "") -> str:
    """Run a command on a running host, give back what it printed. Raises DiskError."""
    entry = ["nsenter", f"--target={leader}", "--mount", "--uts", "--ipc", "--net", "--pid"]
    entry += ["--root", "--wd"]
    done = subprocess.run(
        [*entry, "--", *command], input=text, capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise DiskError(f"`{' '.join(command)}` ended with {done.returncode}: {said}")
    return done.stdout


def _below(root: Path, path: str) -> Path:
    return root / path.lstrip("/")
