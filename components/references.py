"""Outputs of other stacks."""

from __future__ import annotations

from typing import Any

import pulumi


def stack_reference(
    stack: str, opts: pulumi.ResourceOptions | None = None
) -> pulumi.StackReference:
    """Another stack of this project, by its short name."""
    known = f"{pulumi.get_organization()}/{pulumi.get_project()}/{stack}"
    return pulumi.StackReference(known, opts=opts)


def told(stack: str, reference: pulumi.StackReference, output: str) -> pulumi.Output[Any]:
    """An output of the stack. One that is missing is unknown in a preview, with a warning;
    otherwise it raises pulumi.RunError."""

    def found(value: Any) -> Any:
        if value is not None:
            return value
        missing = f"stack {stack!r} has no output {output!r} yet: bring it up before this one"
        if not pulumi.runtime.is_dry_run():
            raise pulumi.RunError(missing)
        pulumi.log.warn(missing)
        return pulumi.UNKNOWN

    return reference.get_output(output).apply(found)
