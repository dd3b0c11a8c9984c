"""Where pretended resources may be written: into a backend that `tools/preview` made for them alone.

Three things have to agree: the variable that only `tools/preview` sets, the backend that Pulumi works
on (PULUMI_BACKEND_URL comes before any login or project setting), and a marker inside that folder,
which also keeps the folder from being taken for a real backend by a person who finds it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

VARIABLE = "ANYCASTLE_PRETEND_IN"
MARKER = "PRETENDED-RESOURCES-ONLY"


def mark(folder: Path) -> None:
    """Make `folder` a throw-away backend."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARKER).write_text("Nothing in this folder exists anywhere. It may be deleted.\n")


def throw_away(environment: Mapping[str, str]) -> Path | None:
    """The backend's folder when pretending is allowed in it, else None."""
    wanted, url = environment.get(VARIABLE), urlsplit(environment.get("PULUMI_BACKEND_URL", ""))
    if not wanted or url.scheme != "file" or url.netloc:
        return None
    folder = Path(unquote(url.path))
    return folder if folder == Path(wanted) and (folder / MARKER).is_file() else None
