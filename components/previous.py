"""What stood at the end of the last `up`, for the policy pack: a pack is not told what an update deletes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi


class Previous(pulumi.ComponentResource):
    """The nodes among the stack's own outputs `hosts`: their names, places and machines.

    A stack may read itself; before its first `up` it has no outputs, and so no nodes.
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("anycastle:index:Previous", name, None, opts)
        own = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
        last = pulumi.StackReference(own, opts=pulumi.ResourceOptions(parent=self))
        self.register_outputs({"nodes": last.outputs.apply(nodes)})


def nodes(outputs: Mapping[str, Any]) -> list[dict[str, str]]:
    """`name`, `place` and `machine` ("" where that is nobody's business) of each node in a
    stack's outputs."""
    machines = outputs.get("machines") or {}
    return [
        {
            "name": str(host["name"]),
            "place": str(host["place"]),
            "machine": str(machines.get(host["name"], "")),
        }
        for host in outputs.get("hosts") or []
        if host.get("kind") == "node"
    ]
