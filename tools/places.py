"""Where things are: the checkout, the cache, and what set-up made.

Set-up (`tools/provision`) runs on a machine that has nothing but Debian's Python, so this file and
everything that set-up imports use the standard library alone.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
LAB_ROOT = CHECKOUT / ".lab"
VENV = CHECKOUT / ".venv"


def cache_root() -> Path:
    """`${XDG_CACHE_HOME:-~/.cache}/anycastle`; a relative XDG_CACHE_HOME counts as unset (XDG spec)."""
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = configured if configured.is_absolute() else Path.home() / ".cache"
    return base / "anycastle"


def digest(*parts: bytes | str, length: int = 16) -> str:
    """A hash of the parts in order, `length` hex digits; each part is framed by its own length."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "big"))
        total.update(data)
    return total.hexdigest()[:length]


def digest_files(files: Iterable[Path], *extra: str, root: Path = CHECKOUT) -> str:
    """A hash over names (relative to `root`), modes of execution and contents of `files`."""
    parts: list[bytes | str] = list(extra)
    for file in sorted(files):
        executable = "x" if os.access(file, os.X_OK) else "-"
        parts += [str(file.relative_to(root)), executable, file.read_bytes()]
    return digest(*parts)
