"""Inputs of the three resources as types, with the names and defaults of the command provider's schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from tools.offline.values import ARCHIVE, ASSET, has_unknown, reveal, signature

LOCAL_COMMAND = "command:local:Command"
REMOTE_COMMAND = "command:remote:Command"
COPY_TO_REMOTE = "command:remote:CopyToRemote"

Logging = Literal["stdout", "stderr", "stdoutAndStderr", "none"]


class Inputs(msgspec.Struct, frozen=True, rename="camel", forbid_unknown_fields=True):
    """Base of all: camel-case names, no others."""


class Dial(Inputs, frozen=True, kw_only=True):
    """How to reach and to log in to a host; `dial_error_limit` -1: no limit, `per_dial_timeout` 0: none."""

    host: str
    port: int = 22
    user: str = "root"
    password: str | None = None
    private_key: str | None = None
    private_key_password: str | None = None
    host_key: str | None = None
    agent_socket_path: str | None = None
    dial_error_limit: int = 10
    per_dial_timeout: int = 15


class Connection(Dial, frozen=True, kw_only=True):
    """A host, perhaps behind a bastion host."""

    proxy: Dial | None = None


class Command(Inputs, frozen=True, kw_only=True):
    """What local and remote commands share."""

    create: str | None = None
    update: str | None = None
    delete: str | None = None
    environment: dict[str, str] = {}
    stdin: str | None = None
    triggers: list[Any] = []
    add_previous_output_in_env: bool = True
    logging: Logging | None = None


class LocalCommand(Command, frozen=True, kw_only=True):
    interpreter: list[str] = []
    dir: str | None = None
    asset_paths: list[str] = []
    archive_paths: list[str] = []


class RemoteCommand(Command, frozen=True, kw_only=True):
    connection: Connection


class CopyToRemote(Inputs, frozen=True, kw_only=True):
    connection: Connection
    source: dict[str, Any]
    remote_path: str
    triggers: list[Any] = []


TYPES: dict[str, type[Inputs]] = {
    LOCAL_COMMAND: LocalCommand,
    REMOTE_COMMAND: RemoteCommand,
    COPY_TO_REMOTE: CopyToRemote,
}


class UnknownType(Exception):
    """The program asks for a resource that the stand-in does not have."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the stand-in command provider (tools/offline) has no {name}, only {', '.join(TYPES)}"
        )


def input_type(name: str) -> type[Inputs]:
    """Raises UnknownType."""
    if name not in TYPES:
        raise UnknownType(name)
    return TYPES[name]


def parse(name: str, properties: Mapping[str, Any]) -> Inputs:
    """Typed inputs of the resource type `name`; everything must be known.

    Raises msgspec.ValidationError, which names the place and the expected type but no value.
    """
    return msgspec.convert(reveal(dict(properties)), input_type(name), strict=True)


def faults(name: str, properties: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(property, what is wrong with it) for every fault that can be seen, also with unknowns about."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(input_type(name))}
    found = [(key, "unrecognized property") for key in properties if key not in fields]
    for key, field in fields.items():
        if key not in properties:
            if field.required:
                found.append((key, "missing required property"))
        elif not has_unknown(properties[key]):
            found += wrong_value(key, properties[key], field.type)
    return found


def wrong_value(key: str, value: Any, wanted: Any) -> list[tuple[str, str]]:
    plain = reveal(value)
    try:
        msgspec.convert(plain, wanted)
    except msgspec.ValidationError as error:
        return [(key, str(error))]
    if key in ("assetPaths", "archivePaths") and plain:
        return [
            (key, "not in the stand-in command provider (tools/offline); read the files instead")
        ]
    if key == "source":
        return wrong_source(plain)
    return []


def wrong_source(source: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A path-based asset or archive, or a text asset, as the vendor's plugin has it."""
    kind = signature(source)
    if kind not in (ASSET, ARCHIVE):
        return [("source", "either asset or archive must be set")]
    if kind == ASSET and not source.get("path") and "text" not in source:
        return [("source", "asset must be a path-based file asset or a text asset")]
    if kind == ARCHIVE and not source.get("path"):
        return [("source", "archive must be a path to a file or directory")]
    return []
