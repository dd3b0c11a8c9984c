"""What a rule is: a promise, a pure check, and what to do when the check needs an unknown value."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from policy.settings import Settings
from policy.values import Props

Found = TypeVar("Found")


class Severity(enum.Enum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Unknowns(enum.Enum):
    """In a preview, when a value that the rule needs is not known yet.

    REFUSE: a violation. What the rule protects has to be readable in a pull request.
    WAIT: a note; the rule is checked when `up` knows the value, before the resource is made.
    """

    REFUSE = "refuse"
    WAIT = "wait"


@dataclass(frozen=True)
class Resource:
    """props: inputs for a resource's rules, outputs for a stack's. secret_outputs: their names.

    protected: by Pulumi's `protect`. parent, dependencies: URNs.
    """

    type: str
    name: str
    props: Props
    urn: str = ""
    parent: str = ""
    dependencies: frozenset[str] = frozenset()
    secret_outputs: frozenset[str] = frozenset()
    protected: bool = False


@dataclass(frozen=True)
class Stack:
    """A whole stack as it will be. name: without organisation and project."""

    name: str
    resources: tuple[Resource, ...]

    def of_type(self, *types: str) -> Iterator[Resource]:
        return (resource for resource in self.resources if resource.type in types)

    @property
    def outputs(self) -> Props:
        """What the program exports."""
        return next((found.props for found in self.of_type("pulumi:pulumi:Stack")), {})


@dataclass(frozen=True)
class Finding:
    """A violation inside of a stack. resource: the one to blame, None for the stack."""

    message: str
    resource: Resource | None = None


ResourceCheck = Callable[[Resource, Settings], Iterator[str]]
StackCheck = Callable[[Stack, Settings], Iterator[Finding]]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """promise: what holds when the rule does. remedy: what to do about a violation, an imperative."""

    name: str
    promise: str
    remedy: str
    severity: Severity
    unknowns: Unknowns = Unknowns.WAIT

    def message(self, found: str) -> str:
        return f"{found}. What to do: {self.remedy}"


@dataclass(frozen=True, kw_only=True)
class ResourceRule(Rule):
    """A rule on one resource at a time. types: those that it reads."""

    types: frozenset[str]
    check: ResourceCheck


@dataclass(frozen=True, kw_only=True)
class StackRule(Rule):
    """A rule on a stack as a whole."""

    check: StackCheck


@dataclass(frozen=True)
class Book:
    """Rules by name."""

    rules: tuple[Rule, ...]
    names: Mapping[str, Rule] = field(init=False)

    def __post_init__(self) -> None:
        found = {rule.name: rule for rule in self.rules}
        assert len(found) == len(self.rules), "two rules have one name"
        object.__setattr__(self, "names", found)
