"""Which stacks a change touches, and the order of their deployment. Pure.

A change of the program, the runtime or what is locked touches every stack. A stack's own file touches
the stack, and all stacks of the same deployment with it: each is checked against the others' files,
and peers with their nodes. Documentation and tests touch none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from tools.preview.config import Document, is_lab, reads

OF_ALL = (
    "__main__.py",
    "Pulumi.yaml",
    "components/",
    "policy/",
    "requirements/",
    "runtime/",
    "tools/bundle/",
)
STACK_FILE = re.compile(r"^stacks/Pulumi\.([^/]+)\.yaml$")


class Delivery(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """stacks/delivery.yaml: stacks that the workflows deploy. canary: the one that goes first."""

    canary: str
    regions: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()

    @property
    def all(self) -> tuple[str, ...]:
        return (*self.shared, self.canary, *self.regions)


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What is deployed, one group after the other; an empty group is left out.

    deployed: all that the change touches of what is deployed anywhere, which a sample is not.
    """

    shared: tuple[str, ...]
    canary: tuple[str, ...]
    regions: tuple[str, ...]
    deployed: tuple[str, ...]


class DeliveryFault(Exception):
    """stacks/delivery.yaml is wrong; the text says where."""


def parse(text: str, stacks: Iterable[str]) -> Delivery:
    """Raises DeliveryFault."""
    try:
        found = msgspec.yaml.decode(text, type=Delivery)
    except msgspec.MsgspecError as error:
        raise DeliveryFault(f"stacks/delivery.yaml: {error}") from error
    known = set(stacks)
    for name in found.all:
        if name not in known:
            raise DeliveryFault(f"stacks/delivery.yaml: there is no stack {name!r}")
    if len(set(found.all)) != len(found.all):
        raise DeliveryFault("stacks/delivery.yaml: a stack is named twice")
    return found


def affected(paths: Iterable[str], documents: Mapping[str, Document]) -> list[str]:
    """Names of the stacks that a change of these files touches."""
    touched: set[str] = set()
    for path in paths:
        if path.startswith(OF_ALL):
            return sorted(documents)
        if found := STACK_FILE.match(path):
            touched |= family(found[1], documents)
    return sorted(touched)


def family(stack: str, documents: Mapping[str, Document]) -> set[str]:
    """A stack and those of the same deployment; one that was deleted has no family left to look up."""
    document = documents.get(stack)
    if document is None:
        return set(documents)
    if is_lab(document):
        return {stack}
    source = reads(document) or stack
    readers = {name for name, other in documents.items() if reads(other) == source}
    return {stack, *readers, *({source} & set(documents))}


def order(delivery: Delivery, touched: Iterable[str]) -> Order:
    """The touched stacks among those that are deployed. The canary goes along with any region."""
    wanted = set(touched)
    regions = tuple(name for name in delivery.regions if name in wanted)
    return Order(
        shared=tuple(name for name in delivery.shared if name in wanted),
        canary=(delivery.canary,) if regions or delivery.canary in wanted else (),
        regions=regions,
        deployed=tuple(name for name in delivery.all if name in wanted),
    )


def outputs(found: Order) -> dict[str, Any]:
    """For a workflow's matrices."""
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain
