"""Tags."""

from __future__ import annotations

from collections.abc import Iterator

from policy.rule import Finding, Severity, Stack, StackRule
from policy.settings import Settings
from policy.values import look


def tagged(stack: Stack, settings: Settings) -> Iterator[Finding]:
    """`tagsAll` is what the provider puts on a resource: its own tags over the default ones."""
    for resource in stack.resources:
        if resource.type.startswith("aws:") and "tagsAll" in resource.props:
            found = look(resource.props, "tagsAll", {})
            missing = [tag for tag in settings.tags if tag not in found]
            if missing:
                yield Finding(f"it has no tag {', '.join(missing)}", resource)


RULES = (
    StackRule(
        name="tags-required",
        promise="Everything in AWS says which deployment and stack it belongs to",
        remedy="create it with the stack's own provider, which has default tags",
        severity=Severity.LOW,
        check=tagged,
    ),
)
