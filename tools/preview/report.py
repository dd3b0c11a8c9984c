"""A preview as text for a terminal, and as Markdown for a pull request. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from tools.preview.summary import Preview, Step, Violation

SIGNS = {"create": "+", "update": "~", "replace": "+-", "delete": "-", "import": "=", "same": " "}
WORDS = {
    "create": "to create",
    "update": "to update",
    "replace": "to replace",
    "delete": "to delete",
    "same": "unchanged",
}
MOST = 60
"""Changed resources that are listed one by one; more are counted by type."""


def text(preview: Preview) -> str:
    lines = [f"{preview.stack}: {headline(preview)} ({preview.seconds:.1f} s)"]
    lines += [f"    {line}" for line in details(preview.changes)]
    lines += [f"  {line}" for line in verdict(preview)]
    return "\n".join(lines)


def headline(preview: Preview) -> str:
    """E.g. `2 to update, 212 unchanged`."""
    counts = {**preview.counts(), "same": preview.unchanged}
    said = [
        f"{counts[op]} {WORDS.get(op, op)}"
        for op in sorted(counts, key=lambda op: (op == "same", op))
        if counts[op]
    ]
    return ", ".join(said) or "nothing"


def details(changes: Sequence[Step]) -> Iterator[str]:
    """Each change where they are few, or numbers by type."""
    if len(changes) <= MOST:
        yield from map(change, changes)
        return
    counts = Counter((step.op, step.type) for step in changes)
    width = max(len(kind) for _, kind in counts)
    for (op, kind), number in sorted(counts.items()):
        yield f"{SIGNS.get(op, op):2} {kind:{width}} {number:5}"


def change(step: Step) -> str:
    inputs = f"  [{', '.join(step.changed)}]" if step.changed else ""
    return f"{SIGNS.get(step.op, step.op):2} {step.name} ({step.type}){inputs}"


def verdict(preview: Preview) -> Iterator[str]:
    for violation in preview.violations:
        yield f"{label(violation)}: {indented(violation.message)}"
    for error in preview.errors:
        yield f"error: {indented(error)}"
    if preview.passed:
        yield "policy: passed"


def label(violation: Violation) -> str:
    return f"policy {violation.rule} ({violation.level}) at {violation.resource}"


def indented(message: str) -> str:
    return message.replace("\n", "\n      ")


def markdown(previews: Sequence[Preview]) -> str:
    """A comment for a pull request: a table, then each stack's details folded away."""
    rows = [f"| {preview.stack} | {headline(preview)} | {state(preview)} |" for preview in previews]
    parts = ["| stack | change | policy |", "|---|---|---|", *rows]
    for preview in previews:
        body = [*details(preview.changes), *verdict(preview)]
        opened = " open" if not preview.passed else ""
        parts += [
            "",
            f"<details{opened}><summary>{preview.stack}</summary>",
            "",
            "```",
            *body,
            "```",
            "",
            "</details>",
        ]
    return "\n".join(parts) + "\n"


def state(preview: Preview) -> str:
    if preview.errors:
        return "failed"
    mandatory = sum(1 for violation in preview.violations if violation.level == "mandatory")
    return f"{mandatory} violated" if mandatory else "passed"


def golden(preview: Preview) -> str:
    """One line for each resource, for comparing: type, name, parent, dependencies."""
    counts = Counter(step.type for step in preview.steps)
    lines = [f"{number:5} {kind}" for kind, number in sorted(counts.items())]
    for step in preview.steps:
        needs = f" <- {', '.join(step.dependencies)}" if step.dependencies else ""
        lines.append(f"{step.type} {step.name} in {step.parent or '-'}{needs}")
    return "\n".join(lines) + "\n"
