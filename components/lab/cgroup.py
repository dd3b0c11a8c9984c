"""Edge: a container's processes as one thing (kernel: Documentation/admin-guide/cgroup-v2.rst).

Each host has a control group of its own, because systemd-nspawn puts a container into
`payload` below the group that it was started from: two containers started from one
group would share it. `cgroup.kill` ends all processes of a group and below at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
KILL_TIMEOUT = 10.0
"""Seconds that killed processes get to be gone; only a broken kernel needs them."""


class CgroupError(RuntimeError):
    """The machine has no usable version 2 hierarchy, or processes outlive their end."""


def group(lab: str, host: str = "") -> Path:
    """Directory of a host's (or a whole lab's) group; it may not exist."""
    return _unified() / "anycastle" / lab / host


def populated(path: Path) -> bool:
    """Does any process live in the group or below?"""
    try:
        events = (path / "cgroup.events").read_text()
    except OSError:
        return False
    return "populated 1" in events


def kill(path: Path) -> None:
    """End every process in the group and below, and wait until they are gone."""
    with suppress(FileNotFoundError):
        (path / "cgroup.kill").write_text("1")
    deadline = time.monotonic() + KILL_TIMEOUT
    while populated(path):
        if time.monotonic() > deadline:
            raise CgroupError(f"processes of {path} outlive SIGKILL; see /proc/PID/stack of them")
        time.sleep(0.01)


def remove(path: Path) -> None:
    """Remove the group and all below, also the copy that nspawn makes beside it."""
    root = _unified()
    for tree in (root, *_legacy_trees()):
        for directory in _deepest_first(tree / path.relative_to(root)):
            # A dead process may keep its group busy for some milliseconds.
            _remove_directory(directory)


def remove_if_empty(path: Path) -> None:
    """Remove a group that has no other below; else leave it."""
    root = _unified()
    for tree in (root, *_legacy_trees()):
        with suppress(OSError):
            (tree / path.relative_to(root)).rmdir()


def leader(path: Path) -> int | None:
    """Process id (as this machine sees it) of the container's PID 1, None if there is none."""
    for scope in path.glob("machine/**/init.scope/cgroup.procs"):
        for pid in scope.read_text().split():
            if _innermost_pid(int(pid)) == 1:
                return int(pid)
    return None


def started(pid: int) -> int:
    """When a process started, in clock ticks since boot: with the id it names it uniquely."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[19])


def _innermost_pid(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
    return 0


def _unified() -> Path:
    for line in _MOUNTS.read_text().splitlines():
        _, where, kind, *_ = line.split(" ")
        if kind == "cgroup2":
            return Path(where)
    raise CgroupError("no cgroup2 file system is mounted; lab hosts need one (systemd mounts it)")


def _legacy_trees() -> Iterator[Path]:
    """On a hybrid machine nspawn mirrors the group in systemd's version 1 hierarchy."""
    for line in _MOUNTS.read_text().splitlines():
        _, where, kind, options, *_ = line.split(" ")
        if kind == "cgroup" and "name=systemd" in options.split(","):
            yield Path(where)


def _deepest_first(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    below = [entry for entry in path.rglob("*") if entry.is_dir()]
    return [*sorted(below, key=lambda entry: len(entry.parts), reverse=True), path]


def _remove_directory(directory: Path) -> None:
    for _ in range(100):
        try:
            directory.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            time.sleep(0.01)
        else:
            return
    raise CgroupError(f"{directory} can't be removed; which processes: cgroup.procs in it")
