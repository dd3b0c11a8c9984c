"""Kernel settings under /proc/sys (Documentation/admin-guide/sysctl/net.rst)."""

from __future__ import annotations

from pathlib import Path

PROC_SYS = Path("/proc/sys")


def read(name: str, root: Path = PROC_SYS) -> str | None:
    """The value without its line end; None: this kernel or namespace has no such setting."""
    try:
        return _path(name, root).read_text().strip()
    except FileNotFoundError:
        return None


def write(name: str, value: str, root: Path = PROC_SYS) -> None:
    """Raises OSError: in a container, settings of the whole machine are refused."""
    # Opened without O_CREAT: a misspelt name must not try to make a file in /proc.
    with _path(name, root).open("r+") as file:
        file.write(value)


def _path(name: str, root: Path) -> Path:
    return root.joinpath(*(part.replace("/", ".") for part in name.split(".")))
