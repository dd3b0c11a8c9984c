"""How much of a datacentre one update takes away.

A pack is told what a stack will be, not what goes. So the program hands over what its stack was at
the end of the last update (`components.previous`), and this rule compares: a node that was there and
is not, is deleted; one whose machine has no ARN yet is made anew.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from policy.checks.instances import INSTANCE
from policy.rule import Finding, Severity, Stack, StackRule
from policy.settings import Settings
from policy.values import Unknown, each, look

PREVIOUS = "anycastle:index:Previous"


def places(nodes: Any) -> dict[str, str]:
    """Node -> its datacentre."""
    return {look(node, "name"): look(node, "place") for node in nodes}


def before(stack: Stack) -> dict[str, str]:
    """Nodes of the last update. Raises NotKnown."""
    found = next(stack.of_type(PREVIOUS), None)
    return places(each(found.props, "nodes")) if found else {}


def after(stack: Stack) -> dict[str, str]:
    """Nodes that the stack will have. Raises NotKnown."""
    hosts = each(stack.outputs, "hosts")
    return places(host for host in hosts if look(host, "kind") == "node")


def anew(stack: Stack) -> set[str]:
    """Names of machines that do not exist yet."""
    return {
        item.name for item in stack.of_type(INSTANCE) if isinstance(item.props.get("arn"), Unknown)
    }


def bounded(stack: Stack, settings: Settings) -> Iterator[Finding]:
    old, new, fresh = before(stack), after(stack), anew(stack)
    lost: dict[str, list[str]] = defaultdict(list)
    for name, place in old.items():
        if name not in new or name in fresh:
            lost[place].append(name)
    for place, names in lost.items():
        total = sum(1 for other in old.values() if other == place)
        most = max(1, math.floor(total * settings.turnover))
        if len(names) > most:
            yield Finding(
                f"{len(names)} of {place}'s {total} nodes are replaced or deleted at once "
                f"({', '.join(sorted(names))}), and at most {most} may be"
            )


RULES = (
    StackRule(
        name="node-turnover",
        promise="One update takes away no more than a share of a datacentre's nodes",
        remedy="change the nodes in several updates, each after the one before is healthy "
        "(policy/config.yaml, `turnover`)",
        severity=Severity.HIGH,
        check=bounded,
    ),
)
