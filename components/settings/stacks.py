"""Which part of a deployment a stack is, and the whole deployment out of all its files.

whole    everything in one stack: the lab, or a small deployment.
global   what the datacentres share: keys, control plane, accelerator, audit.
region   one datacentre; it reads the global stack's outputs.

A deployment of several stacks is put together from their files: `anycastle:deployment`
of the global stack, and `anycastle:datacentre` of each region stack that names it in
`anycastle:stack.reads`. So one document with one schema is checked, whichever stack
runs, and no name, id or network is used twice across files. Pure.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from anycastle.model.codec import ModelError, from_plain
from components.settings import shape

STACK_KEY = "anycastle:stack"
DEPLOYMENT_KEY = "anycastle:deployment"
DATACENTRE_KEY = "anycastle:datacentre"
LAB_KEY = "anycastle:lab"
KEYS = (STACK_KEY, DEPLOYMENT_KEY, DATACENTRE_KEY, LAB_KEY)

Documents = Mapping[str, Any]
"""The `anycastle:` keys of one stack's file."""

_DATACENTRE = re.compile(rf"{DEPLOYMENT_KEY}\.datacentres\[(\d+)\]")


class Role(enum.StrEnum):
    WHOLE = "whole"
    GLOBAL = "global"
    REGION = "region"


class StackSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The key `anycastle:stack`. reads: of a region, the name of its global stack."""

    role: Role = Role.WHOLE
    reads: str = ""


@dataclass(frozen=True)
class Assembly:
    """A deployment as one document. deployment: None when there is nothing to check.

    homes: the stack that makes each datacentre, in the order of the document.
    """

    stack: StackSettings
    name: str
    deployment: Any
    lab: Any
    homes: Sequence[str]
    reader: str

    def placed(self, fault: ModelError) -> ModelError:
        """The fault with paths as they are in the files, instead of in the one document."""
        return ModelError(self._rewrite(fault.path), self._rewrite(fault.reason))

    def _rewrite(self, text: str) -> str:
        if self.stack.role is Role.WHOLE:
            return text
        text = _DATACENTRE.sub(lambda match: self._datacentre(int(match[1])), text)
        return text.replace(DEPLOYMENT_KEY, in_file(self.reader, self.name, DEPLOYMENT_KEY))

    def _datacentre(self, index: int) -> str:
        return in_file(self.homes[index], self.name, DATACENTRE_KEY)


def in_file(stack: str, own: str, key: str) -> str:
    """A key as a person finds it: with its file's name when that is another stack's."""
    return key if stack == own else f"{file_name(stack)} {key}"


def file_name(stack: str) -> str:
    return f"Pulumi.{stack}.yaml"


def assemble(
    name: str, own: Documents, others: Mapping[str, Documents]
) -> tuple[Assembly | None, list[ModelError]]:
    """The deployment that the stack `name` belongs to, and what is wrong with the parts.

    own: the stack's documents. others: those of the other stacks, by name.
    """
    document = own.get(STACK_KEY)
    if faults := list(shape.faults({} if document is None else document, StackSettings, STACK_KEY)):
        return None, faults
    stack = from_plain(document or {}, StackSettings)
    if faults := [*_own_faults(stack, own, others), *_other_faults(stack, name, others)]:
        return None, faults
    if stack.role is Role.WHOLE:
        return _whole(stack, name, own), []
    reader = name if stack.role is Role.GLOBAL else stack.reads
    parts = {name: own, **others}
    regions = [other for other in sorted(parts) if reads(parts[other]) == reader]
    deployment = dict(parts[reader][DEPLOYMENT_KEY])
    deployment["datacentres"] = [parts[region][DATACENTRE_KEY] for region in regions]
    return Assembly(stack, name, deployment, None, regions, reader), []


def _whole(stack: StackSettings, name: str, own: Documents) -> Assembly:
    deployment = own.get(DEPLOYMENT_KEY)
    count = 0
    if isinstance(deployment, Mapping) and isinstance(deployment.get("datacentres"), list):
        count = len(deployment["datacentres"])
    return Assembly(stack, name, deployment, own.get(LAB_KEY), [name] * count, name)


def reads(documents: Documents) -> str:
    """The global stack that a region's documents name, "" when they are no region's."""
    stack = documents.get(STACK_KEY)
    if isinstance(stack, Mapping) and stack.get("role") == Role.REGION:
        return str(stack.get("reads", ""))
    return ""


def _own_faults(
    stack: StackSettings, own: Documents, others: Mapping[str, Documents]
) -> Iterator[ModelError]:
    if stack.role is Role.REGION:
        yield from _region_faults(stack, own, others)
        return
    if own.get(DATACENTRE_KEY) is not None:
        yield ModelError(
            DATACENTRE_KEY, f"belongs to the file of a region; this stack is {stack.role.value}"
        )
    if stack.reads:
        yield ModelError(f"{STACK_KEY}.reads", f"a {stack.role.value} stack reads no other")
    if stack.role is Role.GLOBAL:
        yield from _global_faults(own.get(DEPLOYMENT_KEY), DEPLOYMENT_KEY)
        if own.get(LAB_KEY) is not None:
            yield ModelError(LAB_KEY, "a lab is one stack: give the stack no role")


def _region_faults(
    stack: StackSettings, own: Documents, others: Mapping[str, Documents]
) -> Iterator[ModelError]:
    for key in (DEPLOYMENT_KEY, LAB_KEY):
        if own.get(key) is not None:
            yield ModelError(key, "belongs to the global stack's file; a region has a datacentre")
    if own.get(DATACENTRE_KEY) is None:
        yield ModelError(DATACENTRE_KEY, "missing; a region's file describes its datacentre here")
    where = f"{STACK_KEY}.reads"
    if not stack.reads:
        yield ModelError(where, "missing; a region names its global stack, e.g. `reads: global`")
    elif stack.reads not in others:
        yield ModelError(where, f"there is no {file_name(stack.reads)} beside this stack's file")
    elif _role(others[stack.reads]) != Role.GLOBAL:
        yield ModelError(where, f"{file_name(stack.reads)} is not the file of a global stack")
    else:
        path = f"{file_name(stack.reads)} {DEPLOYMENT_KEY}"
        yield from _global_faults(others[stack.reads].get(DEPLOYMENT_KEY), path)


def _global_faults(deployment: Any, path: str) -> Iterator[ModelError]:
    if not isinstance(deployment, Mapping):
        yield ModelError(path, "missing; it describes what all datacentres share")
    elif "datacentres" in deployment:
        yield ModelError(
            f"{path}.datacentres", "stand in the regions' files, each under anycastle:datacentre"
        )


def _other_faults(
    stack: StackSettings, name: str, others: Mapping[str, Documents]
) -> Iterator[ModelError]:
    """Regions beside this stack whose files lack what the whole is made from."""
    reader = name if stack.role is Role.GLOBAL else stack.reads
    for other, documents in sorted(others.items()):
        if reader and reads(documents) == reader and documents.get(DATACENTRE_KEY) is None:
            yield ModelError(f"{file_name(other)} {DATACENTRE_KEY}", "missing")


def _role(documents: Documents) -> str:
    stack = documents.get(STACK_KEY)
    return str(stack.get("role", "")) if isinstance(stack, Mapping) else ""
