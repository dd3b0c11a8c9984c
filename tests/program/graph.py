"""What one run of the program told the engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

SECRET = "secret"
"""Key of a value that was registered as a secret: `{SECRET: value}`."""


@dataclass(frozen=True)
class Registration:
    """A resource as the engine is told of it. parent, deleted_with: URNs, "" for none.

    dependencies: URNs. secret_outputs: names that are secrets whatever they came from.
    """

    urn: str
    type: str
    name: str
    parent: str
    inputs: dict[str, Any]
    dependencies: frozenset[str]
    deleted_with: str
    secret_outputs: frozenset[str]
    protect: bool = False

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
        """Names of everything that a resource waits for, directly or not."""
        seen: set[str] = set()
        queue = [registration.urn]
        while queue:
            for dependency in self.resources[queue.pop()].dependencies - seen:
                seen.add(dependency)
                queue.append(dependency)
        return {self.resources[urn].name for urn in seen}
