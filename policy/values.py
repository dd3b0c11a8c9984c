"""Property values as the rules see them: plain, but for what is unknown and what is secret.

A value that only the cloud decides is `Unknown` during a preview. Rules reach values by `look`, which
raises NotKnown there, so that no rule takes it for an ordinary value by accident.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Props = Mapping[str, Any]


class Unknown:
    """A value that only `up` finds out. It has no truth: asking for it raises NotKnown."""

    def __init__(self, *, secret: bool = False) -> None:
        self.secret = secret

    def __bool__(self) -> bool:
        raise NotKnown("a value")


UNKNOWN = Unknown()
UNKNOWN_SECRET = Unknown(secret=True)


class Marked(str):
    """A text that the program marked as a secret."""

    __slots__ = ()


class NotKnown(Exception):
    """A rule needs a value that only `up` finds out. path: where it is."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


def look(props: Any, path: str, default: Any = None) -> Any:
    """The value at `a.b.c`, `default` when there is none. Raises NotKnown."""
    found = props
    for name in path.split("."):
        if isinstance(found, Unknown):
            raise NotKnown(path)
        found = found.get(name) if isinstance(found, Mapping) else None
        if found is None:
            return default
    if isinstance(found, Unknown):
        raise NotKnown(path)
    return found


def each(props: Any, path: str) -> Sequence[Any]:
    """The list at a path; a single value counts as a list of one. Raises NotKnown."""
    found = look(props, path, [])
    return found if isinstance(found, list) else [found]


def is_secret(value: Any) -> bool:
    """Whether the program marked it, known or not."""
    return isinstance(value, Marked) or (isinstance(value, Unknown) and value.secret)


def yes(props: Any, path: str) -> bool:
    """Whether a switch is on; providers have them as truth values and as texts."""
    return look(props, path) in (True, "true", "True")


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, str | Unknown]]:
    """(path, leaf) of every text, and of everything unknown, inside of a value."""
    if isinstance(value, str | Unknown):
        yield path, value
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from leaves(item, f"{path}.{name}" if path else str(name))
    elif isinstance(value, Sequence):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
