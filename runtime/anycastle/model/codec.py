"""Structs in and out of JSON, MessagePack and plain objects.

msgspec does the work; this adds the standard library's address types, WireGuard
keys and one error type whose message starts with the path of the bad field.
"""

from __future__ import annotations

import base64
import ipaddress
import re
from collections.abc import Callable
from typing import Any, Self, TypeVar

import msgspec

from anycastle.model.addresses import Address, Interface, Network

T = TypeVar("T")

_PARSERS: dict[Any, Callable[[str], object]] = {
    Address: ipaddress.ip_address,
    Network: ipaddress.ip_network,
    Interface: ipaddress.ip_interface,
    ipaddress.IPv4Address: ipaddress.IPv4Address,
    ipaddress.IPv6Address: ipaddress.IPv6Address,
    ipaddress.IPv4Network: ipaddress.IPv4Network,
    ipaddress.IPv6Network: ipaddress.IPv6Network,
    ipaddress.IPv4Interface: ipaddress.IPv4Interface,
    ipaddress.IPv6Interface: ipaddress.IPv6Interface,
}


class ModelError(ValueError):
    """A value that does not fit its type.

    path: where in the document, e.g. `datacentres[1].nodes` ("" for the whole).
    reason: what is wrong and what is allowed, in words for the one who wrote it.
    """

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}" if path else reason)


class Key(bytes):
    """A WireGuard key or pre-shared key: 32 bytes, base64 where text is needed."""

    __slots__ = ()

    def __new__(cls, raw: bytes) -> Self:
        if len(raw) != 32:
            raise ValueError(f"a WireGuard key has 32 bytes, this one has {len(raw)}")
        return super().__new__(cls, raw)

    @classmethod
    def from_text(cls, text: str) -> Key:
        """Parse the 44 characters that `wg` prints. Raises ValueError."""
        try:
            raw = base64.b64decode(text, validate=True)
        except ValueError as error:
            raise ValueError(f"not base64: {error}") from None
        return cls(raw)

    @property
    def text(self) -> str:
        return base64.b64encode(self).decode()

    def __repr__(self) -> str:
        # Pre-shared keys are keys too: never let one reach a log by accident.
        return "Key(…)"

    __str__ = __repr__


def _enc_hook(value: object) -> object:
    if type(value) in _PARSERS:
        return str(value)
    if isinstance(value, Key):
        return value.text
    raise NotImplementedError(f"{type(value).__name__} has no encoding")


def _enc_hook_binary(value: object) -> object:
    return bytes(value) if isinstance(value, Key) else _enc_hook(value)


def _dec_hook(kind: type, value: Any) -> Any:
    if kind is Key:
        if isinstance(value, str):
            return Key.from_text(value)
        if isinstance(value, bytes):
            return Key(value)
        raise ValueError(f"expected a base64 key, got {type(value).__name__}")
    if kind in _PARSERS:
        if not isinstance(value, str):
            raise ValueError(f"expected an address as text, got {type(value).__name__}")
        return _parse_address(kind, value)
    raise NotImplementedError(f"{kind} has no decoding")


def _parse_address(kind: type, text: str) -> object:
    try:
        return _PARSERS[kind](text)
    except ValueError as error:
        # ipaddress says "At least 3 parts expected" of an IPv4 network where IPv6 is due.
        noun = re.sub(r"(IPv[46])?(\w+)", lambda m: f"{m[1] or 'IP'} {m[2].lower()}", kind.__name__)
        raise ValueError(f"{text!r} is not an {noun}: {error}") from None


def to_json(value: object) -> bytes:
    return msgspec.json.encode(value, enc_hook=_enc_hook)


def from_json(data: bytes | str, kind: type[T]) -> T:
    """Decode and validate. Raises ModelError."""
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=_dec_hook)
    except (msgspec.DecodeError, ValueError) as error:
        raise _model_error(error) from None


def to_msgpack(value: object) -> bytes:
    return msgspec.msgpack.encode(value, enc_hook=_enc_hook_binary)


def from_msgpack(data: bytes, kind: type[T]) -> T:
    """Decode and validate. Raises ModelError."""
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_dec_hook)
    except (msgspec.DecodeError, ValueError) as error:
        raise _model_error(error) from None


def to_plain(value: object) -> Any:
    """Dicts, lists, strings and numbers only (for templates and YAML)."""
    return msgspec.to_builtins(value, enc_hook=_enc_hook)


def from_plain(value: object, kind: type[T]) -> T:
    """Convert dicts and lists (from YAML, Pulumi config). Raises ModelError."""
    try:
        return msgspec.convert(value, kind, dec_hook=_dec_hook)
    except (msgspec.DecodeError, ValueError) as error:
        raise _model_error(error) from None


def _model_error(error: Exception) -> ModelError:
    if isinstance(error, ModelError):
        return error
    reason, _, path = str(error).partition(" - at `")
    return ModelError(path.rstrip("`").removeprefix("$").removeprefix("."), reason)
