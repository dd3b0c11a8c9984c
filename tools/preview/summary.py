"""What one preview reported: steps out of `--json`, policy violations out of the event log. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import msgspec

UNCHANGED = frozenset({"same", "read", "refresh", "read-discard"})
REPLACED = "replace"
FOLDED = {"create-replacement": None, "delete-replaced": None, "discard-replaced": None}
"""Parts of a replacement, which is a step of its own: None drops them."""


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of one resource.

    parent, dependencies: names, "" for none. changed: paths of inputs. reasons: those that replace.
    """

    op: str
    type: str
    name: str
    parent: str = ""
    dependencies: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """level: `mandatory` or `advisory`. resource: name, or the stack's."""

    rule: str
    level: str
    severity: str
    resource: str
    message: str


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """One stack's preview. seconds: of pulumi itself. errors: beside violations.

    unchanged: resources that stay as they are, most of which pulumi lists no steps of.
    """

    stack: str
    seconds: float
    steps: tuple[Step, ...]
    violations: tuple[Violation, ...]
    errors: tuple[str, ...]
    unchanged: int = 0

    @property
    def passed(self) -> bool:
        return not self.errors and not any(v.level == "mandatory" for v in self.violations)

    @property
    def changes(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.op not in UNCHANGED)

    def counts(self) -> Counter[str]:
        """op -> number of resources."""
        return Counter(step.op for step in self.steps)


def read(stack: str, seconds: float, printed: str, events: str, complaint: str) -> Preview:
    """Of `pulumi preview --json --event-log`. complaint: its stderr, for when it printed no JSON."""
    try:
        document = json.loads(printed)
    except json.JSONDecodeError:
        document, rest = {}, [(printed + complaint).strip() or "pulumi said nothing"]
    else:
        rest = list(errors(document))
    found = tuple(violations(events.splitlines()))
    if found and rest == ["preview failed"]:  # that is only what the violations mean
        rest = []
    return Preview(
        stack=stack,
        seconds=round(seconds, 2),
        steps=tuple(steps(document)),
        violations=found,
        errors=tuple(rest),
        unchanged=document.get("changeSummary", {}).get("same", 0),
    )


def steps(document: Mapping[str, Any]) -> Iterator[Step]:
    """In order of name and type, providers left out."""
    entries = [entry for entry in document.get("steps") or [] if entry["op"] not in FOLDED]
    found = [step(entry) for entry in entries]
    yield from sorted(
        (item for item in found if not item.type.startswith("pulumi:providers:")),
        key=lambda item: (item.name, item.type),
    )


def step(entry: Mapping[str, Any]) -> Step:
    state = entry.get("newState") or entry.get("oldState") or {}
    kind, name = parts(entry["urn"])
    return Step(
        op=entry["op"],
        type=kind,
        name=name,
        parent=parts(state["parent"])[1] if state.get("parent") else "",
        dependencies=tuple(sorted({parts(urn)[1] for urn in state.get("dependencies") or []})),
        changed=tuple(sorted(entry.get("detailedDiff") or entry.get("diffReasons") or [])),
        reasons=tuple(sorted(entry.get("replaceReasons") or [])),
    )


def parts(urn: str) -> tuple[str, str]:
    """(type, name); the stack's own name is always `stack`."""
    _, _, kinds, name = urn.split("::", 3)
    kind = kinds.rsplit("$", 1)[-1]
    return kind, "stack" if kind == "pulumi:pulumi:Stack" else name


def errors(document: Mapping[str, Any]) -> Iterator[str]:
    for entry in document.get("diagnostics") or []:
        if entry.get("severity") == "error":
            yield str(entry.get("message", "")).removeprefix("error: ").strip()


def violations(lines: Iterable[str]) -> Iterator[Violation]:
    """Out of the lines of an event log."""
    for line in lines:
        event = json.loads(line).get("policyEvent") if '"policyEvent"' in line else None
        if event:
            yield Violation(
                rule=event["policyName"],
                level=event["enforcementLevel"],
                severity=event.get("severity", ""),
                resource=parts(event["resourceUrn"])[1] if event.get("resourceUrn") else "stack",
                message=event["message"].strip(),
            )
