"""Which machine a node has, and what is told of it to the policy pack."""

from __future__ import annotations

from typing import Any

from tests.program.aws.conftest import Region
from tests.program.conftest import Config
from tests.program.graph import Graph

DUBLIN = "aws-eu-west-1"
INSTANCE = "aws:ec2/instance:Instance"


def types(graph: Graph) -> dict[str, str]:
    return {one.name: one.inputs["instanceType"] for one in graph.of_type(INSTANCE)}


def test_another_type_under_the_other_letter_makes_one_node_anew_beside_the_old_one(
    region: Region, config: Config, dublin: Graph
) -> None:
    settings: dict[str, Any] = config["anycastle:datacentre"]
    settings["aws"]["images"]["b"] = settings["aws"]["images"]["a"]
    settings["aws"]["instance_types"] = {"b": "c6in.xlarge"}
    assert types(region(DUBLIN, config)) == types(dublin)
    settings["nodes"][1]["image"] = "b"
    after = region(DUBLIN, config)
    assert types(after) == types(dublin) | {"dub-2": "c6in.xlarge"}
    # What replaces it, and so what brings the new one up before the old one drains.
    old, new = (graph.named("dub-2", INSTANCE).inputs["privateIp"] for graph in (dublin, after))
    assert old != new


def test_machines_are_an_output(dublin: Graph) -> None:
    assert dublin.outputs["machines"] == types(dublin)
