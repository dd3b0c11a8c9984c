"""Property values as the engine sends them to a provider that accepts secrets and resources.

A secret, an asset and an archive are objects with a signature under a reserved key; an unknown (in
preview) is a reserved string. Signatures: pulumi sdk/go/common/resource/sig and plugin/rpc.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SIGNATURE_KEY = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker, not a secret
ASSET = "c44067f5952c0a294b673a41bacd8c17"
ARCHIVE = "0def7320c3a5731c473e5ecbe6d01bc7"
OUTPUT = "d0e6a833031e9bbcd3f4e8bde6ca49a4"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""Not known in preview."""
UNKNOWNS = frozenset(
    {
        UNKNOWN,
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)


def signature(value: Any) -> str | None:
    """The reserved signature of an object, None for plain values."""
    return value.get(SIGNATURE_KEY) if isinstance(value, Mapping) else None


def secret(value: Any) -> dict[str, Any]:
    """`value` marked as a secret; one that is marked stays as it is."""
    return value if signature(value) == SECRET else {SIGNATURE_KEY: SECRET, "value": value}


def reveal(value: Any) -> Any:
    """The value with every secret's and known output's wrapping taken off, at any depth."""
    if signature(value) in (SECRET, OUTPUT):
        return reveal(value.get("value"))
    if isinstance(value, Mapping):
        return {key: reveal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [reveal(item) for item in value]
    return value


def has_secret(value: Any) -> bool:
    if signature(value) == SECRET or (signature(value) == OUTPUT and value.get("secret")):
        return True
    return any(has_secret(item) for item in children(value))


def has_unknown(value: Any) -> bool:
    if isinstance(value, str):
        return value in UNKNOWNS
    if signature(value) == OUTPUT and "value" not in value:
        return True
    return any(has_unknown(item) for item in children(value))


def children(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, list) else []


def whole_numbers(value: Any) -> Any:
    """Protobuf has doubles only: give those without a fraction back as integers, at any depth."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {key: whole_numbers(item) for key, item in value.items()}
    return [whole_numbers(item) for item in value] if isinstance(value, list) else value
