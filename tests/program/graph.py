"""What one run of the program told the engine."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

SECRET = "secret"
"""Key of a value that was registered as a secret: `{SECRET: value}`."""


@dataclass(frozen=True)
class Registration:
    """A resource as the engine is told of it. parent, deleted_with: URNs, "" for none.

    provider: its URN and id, "" for the default one. dependencies: URNs. secret_outputs: names
    that are secrets whatever they came from.
    """

    urn: str
    type: str
    name: str
    parent: str
    provider: str
    inputs: dict[str, Any]
    dependencies: frozenset[str]
    deleted_with: str
    secret_outputs: frozenset[str]
    protect: bool = False
    replace_on_changes: tuple[str, ...] = ()

    def is_secret(self, key: str) -> bool:
        value = self.inputs[key]
        return isinstance(value, dict) and set(value) == {SECRET}

    def plain(self, key: str) -> Any:
        """An input without the mark that makes it a secret."""
        return self.inputs[key][SECRET] if self.is_secret(key) else self.inputs[key]


@dataclass
class Graph:
    """All that one run registered, by URN, and the stack's outputs."""

    resources: dict[str, Registration] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def named(self, name: str, kind: str = "") -> Registration:
        """The one resource of that name (and type, where a name has several)."""
        found = [r for r in self.resources.values() if r.name == name and kind in r.type]
        assert len(found) == 1, f"{name}: {[r.urn for r in found]}"
        return found[0]

    def of_type(self, kind: str) -> list[Registration]:
        return [r for r in self.resources.values() if r.type == kind]

    def upstream(self, registration: Registration) -> set[str]:
        """Names of everything that a resource waits for, directly or not.

        What is only read, as another stack's outputs, is not among the resources.
        """
        seen: set[str] = set()
        queue = [registration.urn]
        while queue:
            found = self.resources[queue.pop()].dependencies & self.resources.keys()
            for dependency in found - seen:
                seen.add(dependency)
                queue.append(dependency)
        return {self.resources[urn].name for urn in seen}


def difference(before: Graph, after: Graph) -> tuple[set[str], set[str], set[str]]:
    """Names of resources that are (added, removed, different in an input)."""
    added = {after.resources[urn].name for urn in after.resources.keys() - before.resources.keys()}
    gone = {before.resources[urn].name for urn in before.resources.keys() - after.resources.keys()}
    changed = {
        registration.name
        for urn, registration in before.resources.items()
        if urn in after.resources and after.resources[urn].inputs != registration.inputs
    }
    return added, gone, changed


def clear(value: Any) -> str:
    """All that is readable in a value: what is marked as a secret is left out."""
    if isinstance(value, dict):
        return "" if set(value) == {SECRET} else " ".join(map(clear, value.values()))
    return " ".join(map(clear, value)) if isinstance(value, list) else str(value)


def document(registration: Registration, variable: str) -> Any:
    """The JSON that a script gets in a variable (quoted, so without quotes inside)."""
    text: str = registration.plain("stdin")
    _, _, rest = text.partition(f"{variable}='")
    return json.loads(rest.partition("'\n")[0])
