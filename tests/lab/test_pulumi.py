"""The stack over its life: no change, a dead host, a node more, another daemon."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support import traffic
from tests.support.lab import Lab
from tests.support.traffic import Ping

Step = tuple[str, str]


def preview(lab: Lab, *options: str) -> list[Step]:
    """(operation, URN) of what a preview would do, but for what stays as it is."""
    done = lab.pulumi("preview", "--json", *options)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    steps = json.loads(done.stdout)["steps"]
    return [(step["op"], step["urn"]) for step in steps if step["op"] not in ("same", "read")]


@pytest.fixture
def stack(lab: Lab) -> Iterator[dict[str, Any]]:
    """The stack file's content, to edit; put back (and applied) afterwards."""
    before = lab.stack_file.read_text()
    yield lab.stack()
    if lab.stack_file.read_text() != before:
        lab.stack_file.write_text(before)
        lab.up_again()


def pinging(lab: Lab, *without: str) -> list[Ping]:
    """A ping from each client that none of the nodes `without` serves."""
    owners = {view.name: view.owner for view in lab.client_views()}
    return [
        Ping(lab.netns(c), lab.service(lab.home(c).name).v4, interval=0.1, name=c)
        for c in lab.clients
        if owners.get(c) not in without
    ]


def test_preview_after_up_has_no_change(lab: Lab) -> None:
    assert preview(lab) == []


def test_second_up_changes_nothing_and_is_quick(lab: Lab) -> None:
    began = time.monotonic()
    done = lab.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    took = time.monotonic() - began
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    print(f"second up: {took:.1f} s")
    assert took < 15


def test_refresh_brings_a_dead_host_back(lab: Lab) -> None:
    node = "fra-2"
    lab.power("kill", node)
    done = lab.pulumi("up", "--refresh", "--yes", "--skip-preview")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    lab.serve(90)
    assert preview(lab) == []


def test_a_node_more_and_less(lab: Lab, stack: dict[str, Any]) -> None:
    name = "ams-3"
    nodes = stack["config"]["anycastle:deployment"]["datacentres"][0]["nodes"]
    nodes.append({"name": name, "id": 7})
    lab.write_stack(stack)

    steps = preview(lab)
    assert steps
    assert [step for step in steps if not about(step, name)] == [], "others are touched"
    assert {operation for operation, _ in steps} <= {"create", "update"}

    pings = pinging(lab)
    with traffic.running(pings):
        lab.up_again()
        lab.serve(90)
        flows = traffic.stop_all(pings)
    # A third ECMP member moves some flows to itself; all others lose nothing.
    owners = {view.name: view.owner for view in lab.client_views()}
    kept = [
        flow
        for flow in flows
        if owners.get(flow.name) != name and lab.home(flow.name).name == "fra"
    ]
    assert kept
    traffic.assert_lossless(kept)

    nodes.pop()
    lab.write_stack(stack)
    steps = preview(lab)
    assert [step for step in steps if not about(step, name)] == [], "others are touched"
    lab.up_again()
    lab.settle()
    assert name not in [node.name for node in lab.node_views()]


def about(step: Step, name: str) -> bool:
    """Does a step concern the node: a resource of its own, or a peering with it?

    Components above it (its datacentre, the world, the stack) may be updated: their
    outputs name the node. So may the lists of the other nodes' peers.
    """
    operation, urn = step
    kind, _, resource = urn.rpartition("::")
    own = name in resource or (operation == "update" and resource.endswith("/peers"))
    above = operation == "update" and ("pulumi:Stack" in kind or "anycastle:index:" in kind)
    return own or above


def test_another_daemon_on_a_node(lab: Lab, stack: dict[str, Any]) -> None:
    node = "ams-2"
    nodes = stack["config"]["anycastle:deployment"]["datacentres"][0]["nodes"]
    next(n for n in nodes if n["name"] == node)["routing"] = "frr"
    lab.write_stack(stack)
    pings = pinging(lab, node)
    with traffic.running(pings):
        lab.up_again()
        lab.serve(90)
        traffic.assert_lossless(traffic.stop_all(pings))
    report = lab.report(node)
    assert report is not None
    assert report.routing == "frr"
    assert lab.run(node, "systemctl", "is-active", "bird", check=False).strip() != "active"
