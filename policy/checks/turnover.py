"""How much of a datacentre one update takes away.

A pack is told what a stack will be, not what goes. So the program reads its own stack's outputs of
the last update (a StackReference to itself), and this rule compares: a node that was there and is
not, is deleted; one whose machine has no ARN yet is made anew.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from policy.checks.instances import INSTANCE
from policy.rule import Finding, Severity, Stack, StackRule
from policy.settings import Settings
from policy.values import Unknown, look

REFERENCE = "pulumi:pulumi:StackReference"


def nodes(hosts: Any) -> dict[str, str]:
    """Node -> its datacentre, of an output `hosts`."""
    return {
        look(host, "name"): look(host, "place")
        for host in look({"hosts": hosts}, "hosts", [])
        if isinstance(host, Mapping) and look(host, "kind") == "node"
    }


def before(stack: Stack) -> dict[str, str]:
    """Nodes of the last update."""
    for reference in stack.of_type(REFERENCE):
        if str(look(reference.props, "name", "")).rsplit("/", 1)[-1] == stack.name:
            return nodes(look(reference.props, "outputs.hosts"))
    return {}


def anew(stack: Stack) -> set[str]:
    """Names of machines that do not exist yet."""
    return {
        item.name for item in stack.of_type(INSTANCE) if isinstance(item.props.get("arn"), Unknown)
    }


def bounded(stack: Stack, settings: Settings) -> Iterator[Finding]:
    old, new, fresh = before(stack), nodes(stack.outputs.get("hosts")), anew(stack)
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
