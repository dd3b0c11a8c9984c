"""Does a document have the shape of a struct? All the faults at once, each with its path.

`msgspec.convert` stops at the first fault; somebody who edits a stack file wants to
see all of them, and the nearest known name for a misspelt one. So this walks the
document beside the struct's types and leaves single values to the codec.
"""

from __future__ import annotations

import difflib
import enum
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any

import msgspec

from anycastle.model.addresses import Address, Network
from anycastle.model.codec import ModelError, from_plain

_WORDS: Mapping[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    IPv4Address: "an IPv4 address like 192.0.2.1",
    IPv6Address: "an IPv6 address like 2001:db8::1",
    IPv4Network: "an IPv4 network like 192.0.2.0/24",
    IPv6Network: "an IPv6 network like 2001:db8::/48",
    Address: "an address like 192.0.2.1 or 2001:db8::1",
    Network: "a network like 192.0.2.0/24 or 2001:db8::/48",
}


def faults(value: object, kind: Any, path: str) -> Iterator[ModelError]:
    """What keeps `value` (dicts, lists, strings, numbers) from being a `kind`, in its order."""
    optional, kind = _split_optional(kind)
    if value is None and optional:
        return
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from _struct_faults(value, kind, path)
    elif typing.get_origin(kind) is tuple:
        yield from _sequence_faults(value, typing.get_args(kind), path)
    else:
        yield from _leaf_faults(value, kind, path)


def _struct_faults(value: object, kind: type[msgspec.Struct], path: str) -> Iterator[ModelError]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    if not isinstance(value, Mapping):
        yield ModelError(path, f"expected a map with {_listed(fields)}, got {_seen(value)}")
        return
    for key in value:
        if key not in fields:
            yield ModelError(f"{path}.{key}", f"unknown key; {_nearest(str(key), fields)}")
    for name, field in fields.items():
        if name in value:
            yield from faults(value[name], field.type, f"{path}.{name}")
        elif field.required:
            yield ModelError(f"{path}.{name}", f"missing; expected {describe(field.type)}")


def _sequence_faults(value: object, members: tuple[Any, ...], path: str) -> Iterator[ModelError]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        yield ModelError(path, f"expected a list, got {_seen(value)}")
        return
    fixed = members[-1] is not Ellipsis
    if fixed and len(value) != len(members):
        yield ModelError(path, f"expected {len(members)} entries, got {len(value)}")
        return
    for index, item in enumerate(value):
        yield from faults(item, members[index if fixed else 0], f"{path}[{index}]")


def _leaf_faults(value: object, kind: Any, path: str) -> Iterator[ModelError]:
    try:
        from_plain(value, kind)
    except ModelError as error:
        yield ModelError(path, _leaf_reason(value, kind, error.reason))


def _leaf_reason(value: object, kind: Any, reason: str) -> str:
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return f"{value!r} is not one of {', '.join(str(member.value) for member in kind)}"
    if isinstance(value, str) and "host bits" in reason:
        return f"{reason}; write the network's own address"
    return f"expected {describe(kind)}, got {_seen(value)}"


def describe(kind: Any) -> str:
    """What a value of this type looks like, in words."""
    _, kind = _split_optional(kind)
    if typing.get_origin(kind) is tuple:
        return "a list"
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return f"a map with {_listed(kind.__struct_encode_fields__)}"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return f"one of {', '.join(str(member.value) for member in kind)}"
    if typing.get_origin(kind) is dict:
        return "a map of names to text"
    return _WORDS.get(kind, str(kind))


def _split_optional(kind: Any) -> tuple[bool, Any]:
    """(may it be null?, the type without null)."""
    if typing.get_origin(kind) not in (typing.Union, types.UnionType):
        return False, kind
    members = [member for member in typing.get_args(kind) if member is not type(None)]
    return len(members) < len(typing.get_args(kind)), members[0]


def _nearest(key: str, known: Mapping[str, object]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {_listed(known)}"


def _listed(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(names)


def _seen(value: object) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case Mapping():
            return "a map"
        case str() | int() | float():
            return repr(value)
        case _:
            return "a list"
