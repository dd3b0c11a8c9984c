"""What the installed SDK says of a resource type: its outputs, and which of them are always there."""

from __future__ import annotations

import functools
import importlib
import inspect
import typing
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Kind = typing.Literal["text", "number", "truth", "list", "map"]


class UnknownType(Exception):
    """The installed SDK has no such resource: the program and the SDK are not of one version."""

    def __init__(self, token: str) -> None:
        super().__init__(f"the installed Python package has no resource type {token}")


@dataclass(frozen=True)
class Output:
    """kind: its shape. always: the provider sets it where the program does not."""

    kind: Kind
    always: bool


def resource_class(token: str) -> type:
    """`aws:lb/loadBalancer:LoadBalancer` -> pulumi_aws.lb.LoadBalancer. Raises UnknownType."""
    package, module, name = token.split(":")
    folder = module.partition("/")[0]
    path = f"pulumi_{package}" + ("" if folder == "index" else f".{folder.replace('-', '_')}")
    try:
        with warnings.catch_warnings():  # of resources that the SDK still has and nobody here uses
            warnings.simplefilter("ignore", DeprecationWarning)
            found = getattr(importlib.import_module(path.lower()), name)
    except (ImportError, AttributeError) as error:
        raise UnknownType(token) from error
    assert isinstance(found, type)
    return found


@functools.cache
def outputs(token: str) -> Mapping[str, Output]:
    """Name -> output, in the SDK's order. Raises UnknownType."""
    found = {}
    for _, member in inspect.getmembers(resource_class(token), _is_property):
        name = getattr(member.fget, "_pulumi_name", None)
        annotation = getattr(member.fget, "__annotations__", {}).get("return")
        if name is not None and annotation is not None:
            found[str(name)] = described(annotation)
    return found


def _is_property(member: object) -> bool:
    return isinstance(member, property)


def described(annotation: Any) -> Output:
    """Of a getter's annotation: `Output[Optional[str]]` and its like."""
    (inner,) = typing.get_args(annotation) or (annotation,)
    choices = [item for item in typing.get_args(inner) if item is not type(None)]
    optional = type(None) in typing.get_args(inner)
    return Output(kind(choices[0] if optional else inner), not optional)


def kind(wanted: Any) -> Kind:
    origin = typing.get_origin(wanted) or wanted
    if isinstance(origin, typing.ForwardRef):  # else an enumeration
        return "map" if origin.__forward_arg__.startswith("outputs.") else "text"
    if origin is bool:
        return "truth"
    if origin in (int, float):
        return "number"
    if isinstance(origin, type) and issubclass(origin, typing.Mapping):
        return "map"
    if origin is not str and isinstance(origin, type) and issubclass(origin, typing.Sequence):
        return "list"
    return "text"
