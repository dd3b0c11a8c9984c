"""What changed between two sets of inputs: paths in Pulumi's notation, and what becomes of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from tools.offline.values import ARCHIVE, ASSET, reveal, signature

Kind = Literal["ADD", "DELETE", "UPDATE"]
PLAIN_KEY = re.compile(r"^[A-Za-z_$][A-Za-z0-9_$]*$")
ABSENT = object()


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Kind]:
    """Path -> kind for all that differs; whether something is a secret makes no difference."""
    return dict(walk("", reveal(dict(old)), reveal(dict(new))))


def top(path: str) -> str:
    """The property that `path` is in."""
    return re.split(r"[.\[]", path, maxsplit=1)[0]


def walk(path: str, old: Any, new: Any) -> Iterator[tuple[str, Kind]]:
    if old is ABSENT or new is ABSENT:
        yield path, "ADD" if old is ABSENT else "DELETE"
    elif signature(old) in (ASSET, ARCHIVE) and signature(old) == signature(new):
        if fingerprint(old) != fingerprint(new):
            yield path, "UPDATE"
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from walk(member(path, key), old.get(key, ABSENT), new.get(key, ABSENT))
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            before = old[index] if index < len(old) else ABSENT
            after = new[index] if index < len(new) else ABSENT
            yield from walk(f"{path}[{index}]", before, after)
    elif old != new:
        yield path, "UPDATE"


def fingerprint(asset: Mapping[str, Any]) -> tuple[Any, ...]:
    """The same content from another checkout's path is the same asset."""
    known = asset.get("hash")
    return ("hash", known) if known else (asset.get("path"), asset.get("text"), asset.get("uri"))


def member(path: str, key: str) -> str:
    if not PLAIN_KEY.match(key):
        escaped = key.replace("\\", "\\\\").replace('"', '\\"')
        return f'{path}["{escaped}"]'
    return f"{path}.{key}" if path else key
