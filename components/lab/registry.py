"""Edge: which labs stand on this machine, each with an index of its own.

`/run/anycastle/labs/LAB/` has the file `index`, the file `directory` (where the lab
keeps its things) and `hosts/`, a file for every host that ever had a namespace. It
vanishes with a reboot of the machine, as namespaces do. A name is written down before
the thing is made, so a sweep finds what an interrupted run left.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.lab import ip
from components.lab.layout import Layout, Management

ROOT = Path("/run/anycastle")
INDEX_MAX = 255


class RegistryError(RuntimeError):
    """No index is free, or the name belongs to a lab of another checkout."""


@contextmanager
def lock() -> Iterator[None]:
    """One process at a time looks for a free index."""
    ROOT.mkdir(parents=True, exist_ok=True)
    with (ROOT / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def allocate(layout: Layout) -> int:
    """The lab's index, the one that it has or the lowest free one. Raises RegistryError."""
    with lock():
        entry = _entry(layout.lab)
        owner = directory(layout.lab)
        if owner is not None and owner != layout.directory:
            raise RegistryError(
                f"a lab named {layout.lab!r} stands already, of {owner}; give LAB another name"
            )
        known = index(layout.lab)
        if known is not None:
            return known
        number = _lowest_free()
        (entry / "hosts").mkdir(parents=True, exist_ok=True)
        (entry / "directory").write_text(str(layout.directory))
        (entry / "index").write_text(str(number))
        return number


def index(lab: str) -> int | None:
    """The lab's index, None if it stands not on this machine."""
    try:
        return int((_entry(lab) / "index").read_text())
    except (FileNotFoundError, ValueError):
        return None


def directory(lab: str) -> Path | None:
    try:
        return Path((_entry(lab) / "directory").read_text())
    except FileNotFoundError:
        return None


def labs() -> list[str]:
    """Names of the labs on this machine."""
    found = ROOT / "labs"
    return sorted(entry.name for entry in found.iterdir()) if found.is_dir() else []


def add_host(lab: str, host: str) -> None:
    where = _entry(lab) / "hosts"
    where.mkdir(parents=True, exist_ok=True)
    (where / host).touch()


def remove_host(lab: str, host: str) -> None:
    (_entry(lab) / "hosts" / host).unlink(missing_ok=True)


def hosts(lab: str) -> list[str]:
    """Names of hosts that may have left something on the machine."""
    where = _entry(lab) / "hosts"
    return sorted(entry.name for entry in where.iterdir()) if where.is_dir() else []


def forget(lab: str) -> None:
    """Free the lab's index; with the last lab the registry goes, too."""
    with lock():
        shutil.rmtree(_entry(lab), ignore_errors=True)
        if not labs():
            shutil.rmtree(ROOT / "labs", ignore_errors=True)


def _entry(lab: str) -> Path:
    return ROOT / "labs" / lab


def _lowest_free() -> int:
    """Neither a lab's nor in use by anything else on the machine."""
    taken = {index(lab) for lab in labs()}
    devices = set(ip.links(""))
    routed = {str(route.get("dst")) for route in ip.show("", "-4", "route", "show")}
    for number in range(INDEX_MAX + 1):
        management = Management(number)
        if number in taken or management.bridge in devices:
            continue
        if str(management.network) not in routed:
            return number
    raise RegistryError(f"{INDEX_MAX + 1} labs stand on this machine; take one down")
