"""Between the engine's messages (pulumi/provider.proto) and plain values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from google.protobuf import json_format, struct_pb2

from tools.offline.values import whole_numbers


def from_struct(properties: struct_pb2.Struct) -> dict[str, Any]:
    """Plain values, without the SDK's own keys."""
    values = whole_numbers(json_format.MessageToDict(properties))
    return {key: value for key, value in values.items() if not key.startswith("__")}


def to_struct(values: Mapping[str, Any]) -> struct_pb2.Struct:
    properties = struct_pb2.Struct()
    json_format.ParseDict(dict(values), properties)
    return properties


def resource_type(urn: str) -> str:
    """The type in `urn:pulumi:STACK::PROJECT::PARENT$TYPE::NAME`."""
    return urn.split("::")[2].rsplit("$", 1)[-1]


def resource_name(urn: str) -> str:
    return urn.split("::", 3)[3]
