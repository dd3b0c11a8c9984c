"""How much of a datacentre one update takes away.

A pack is told what a stack will be, not what goes. So the program hands over what its stack was at
the end of the last update (`components.previous`), and this rule compares: a node that was there and
is not, is deleted; one whose machine has no ARN yet is made anew; one whose machine becomes another
instance type is stopped, since AWS changes that on stopped machines only.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator

from policy.checks.instances import INSTANCE
from policy.rule import Finding, Severity, Stack, StackRule
from policy.settings import Settings
from policy.values import Props, Unknown, each, look

PREVIOUS = "anycastle:index:Previous"


def before(stack: Stack) -> dict[str, Props]:
    """Nodes of the last update by name: `place` and `machine`. Raises NotKnown."""
    found = next(stack.of_type(PREVIOUS), None)
    return {look(node, "name"): node for node in each(found.props, "nodes")} if found else {}


def after(stack: Stack) -> set[str]:
    """Names of the nodes that the stack will have. Raises NotKnown."""
    hosts = each(stack.outputs, "hosts")
    return {look(host, "name") for host in hosts if look(host, "kind") == "node"}


def anew(stack: Stack) -> set[str]:
    """Names of machines that do not exist yet."""
    return {
        item.name for item in stack.of_type(INSTANCE) if isinstance(item.props.get("arn"), Unknown)
    }


def stopped(stack: Stack, old: dict[str, Props]) -> set[str]:
    """Names of nodes whose machine becomes another one in place. Raises NotKnown."""
    machines = look(stack.outputs, "machines", {})
    return {
        name
        for name, node in old.items()
        if look(node, "machine") and look(machines, name, look(node, "machine")) != node["machine"]
    }


def lost(stack: Stack, old: dict[str, Props]) -> dict[str, dict[str, str]]:
    """Place -> node -> what becomes of it. Raises NotKnown."""
    new, fresh, halted = after(stack), anew(stack), stopped(stack, old)
    found: dict[str, dict[str, str]] = defaultdict(dict)
    for name, node in old.items():
        if name not in new:
            found[look(node, "place")][name] = "deleted"
        elif name in fresh:
            found[look(node, "place")][name] = "made anew"
        elif name in halted:
            found[look(node, "place")][name] = "stopped for another instance type"
    return found


def bounded(stack: Stack, settings: Settings) -> Iterator[Finding]:
    old = before(stack)
    for place, nodes in lost(stack, old).items():
        total = sum(1 for node in old.values() if look(node, "place") == place)
        most = max(1, math.floor(total * settings.turnover))
        if len(nodes) > most:
            told = ", ".join(f"{name} {what}" for name, what in sorted(nodes.items()))
            yield Finding(
                f"{len(nodes)} of {place}'s {total} nodes go at once ({told}), and at most "
                f"{most} may"
            )


RULES = (
    StackRule(
        name="node-turnover",
        promise="One update replaces, deletes or stops no more than a share of a datacentre's nodes",
        remedy="change the nodes in several updates, each after the one before is healthy; another "
        "instance type goes under the image letter that no node has (`instance_types`), and "
        "nodes take that letter step by step (the share: policy/config.yaml, `turnover`)",
        severity=Severity.HIGH,
        check=bounded,
    ),
)
