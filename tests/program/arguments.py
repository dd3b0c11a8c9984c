"""Are the inputs of AWS resources what the installed `pulumi_aws` knows?

The mocks take anything: a misspelt argument in a dictionary, a number where text is due, or
a required one left out would be found by AWS, on the day of the first deployment. So the
inputs that a program registered are compared with the SDK's own argument classes, to
whatever depth.
"""

from __future__ import annotations

import collections.abc
import enum
import importlib
import inspect
import sys
import types
import typing
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pulumi
from pulumi import _types

from tests.program.graph import SECRET, Graph

Fields = Mapping[str, tuple[Any, bool]]
"""Name as the engine has it -> (type, is it required?)."""


def faults(graph: Graph) -> list[str]:
    """What is wrong with the inputs of a program's AWS resources, by URN and path."""
    return [
        fault
        for registration in graph.resources.values()
        if registration.type.startswith("aws:")
        for fault in resource_faults(registration.name, registration.type, registration.inputs)
    ]


def resource_faults(name: str, token: str, inputs: Mapping[str, Any]) -> list[str]:
    """As `faults`, of one resource. token: its type, e.g. `aws:ec2/vpc:Vpc`."""
    try:
        arguments = argument_class(token)
    except LookupError as error:
        return [f"{name}: {error}"]
    return list(_struct(inputs, arguments, name))


@cache
def argument_class(token: str) -> type:
    """The class of a resource's arguments. Raises LookupError."""
    _, where, what = token.split(":")
    module = _module(where.partition("/")[0])
    # `XInitArgs` where `XArgs` is the name of something inside of it.
    for candidate in (f"{what}InitArgs", f"{what}Args"):
        if module is not None and hasattr(module, candidate):
            return typing.cast("type", getattr(module, candidate))
    raise LookupError(f"pulumi_aws knows no resource {token}")


def _module(name: str) -> types.ModuleType | None:
    """The SDK's module of that name."""
    try:
        with warnings.catch_warnings(action="ignore"):
            module = importlib.import_module(f"pulumi_aws.{name}")
            # It loads at the first look inside, and warns of what is deprecated there.
            hasattr(module, "_utilities")
    except ImportError:
        return None
    return module


@cache
def fields(arguments: type) -> Fields:
    """The arguments of a class of the SDK."""
    names = _types.input_type_py_to_pulumi_names(arguments)
    namespace = vars(sys.modules[arguments.__module__])
    inner = vars(sys.modules[arguments.__module__.rpartition(".")[0]])
    # `pulumi.Input[…]` holds a forward reference to pulumi's own `Output[T]`.
    scope = {"Output": pulumi.Output, "T": Any, **inner, **namespace}
    constructor = vars(arguments)["__init__"]
    hints = typing.get_type_hints(constructor, scope)
    parameters = inspect.signature(constructor).parameters
    return {
        names[name]: (hints[name], parameter.default is inspect.Parameter.empty)
        for name, parameter in parameters.items()
        if name in names
    }


def _struct(value: Mapping[str, Any], arguments: type, path: str) -> Iterator[str]:
    known = fields(arguments)
    for key, item in value.items():
        if key not in known:
            yield f"{path}.{key}: {arguments.__name__} has no such argument"
        else:
            yield from _value(item, known[key][0], f"{path}.{key}")
    for key, (_, required) in known.items():
        if required and key not in value:
            yield f"{path}.{key}: required by {arguments.__name__}"


def _value(value: Any, kind: Any, path: str) -> Iterator[str]:
    if isinstance(value, dict) and set(value) == {SECRET}:
        value = value[SECRET]
    candidates = list(_plain_types(kind))
    found = [list(_one(value, candidate, path)) for candidate in candidates]
    if found and all(found):
        # What is nearest to being right says most.
        yield from min(found, key=len)


def _plain_types(kind: Any) -> Iterator[Any]:
    """The types of a value, without what Pulumi adds: awaitables, outputs, None."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        for member in typing.get_args(kind):
            yield from _plain_types(member)
    elif origin not in (collections.abc.Awaitable, pulumi.Output) and kind is not type(None):
        yield kind


def _one(value: Any, kind: Any, path: str) -> Iterator[str]:
    origin, members = typing.get_origin(kind), typing.get_args(kind)
    if isinstance(kind, type) and _types.is_input_type(kind):
        if isinstance(value, dict):
            yield from _struct(value, kind, path)
        else:
            yield f"{path}: expected a map of {kind.__name__}, got {value!r}"
    elif origin is collections.abc.Sequence:
        if isinstance(value, list):
            for index, item in enumerate(value):
                yield from _value(item, members[0], f"{path}[{index}]")
        else:
            yield f"{path}: expected a list, got {value!r}"
    elif origin is collections.abc.Mapping:
        if isinstance(value, dict):
            for key, item in value.items():
                yield from _value(item, members[1], f"{path}.{key}")
        else:
            yield f"{path}: expected a map, got {value!r}"
    elif not _is_a(value, kind):
        yield f"{path}: expected {getattr(kind, '__name__', kind)}, got {value!r}"


def _is_a(value: Any, kind: Any) -> bool:
    if kind is typing.Any:
        return True
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return value in {member.value for member in kind}
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind in (int, float):
        return isinstance(value, (int, float)) and (kind is float or float(value).is_integer())
    if typing.is_typeddict(kind):
        return False
    return isinstance(kind, type) and isinstance(value, kind)
