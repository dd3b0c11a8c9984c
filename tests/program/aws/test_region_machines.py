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


def test_an_instance_type_is_changed_in_place_where_the_address_is_a_setting(dublin: Graph) -> None:
    for one in dublin.of_type(INSTANCE):
        assert one.replace_on_changes == ()


def test_a_public_load_balancer_may_stand_beside_an_internal_one(
    region: Region, config: Config, by_nlb: Graph
) -> None:
    internal = region(DUBLIN, config, alone=True)
    for name in ("dub/nlb", "dub/nlb/nodes"):
        old, new = (
            next(one.inputs["name"] for one in graph.resources.values() if one.name == name
                 and one.type.startswith("aws:lb/"))
            for graph in (internal, by_nlb)
        )  # fmt: skip
        assert old != new


def test_nodes_drain_one_after_another(dublin: Graph) -> None:
    for first, second in (("dub-1", "dub-2"), ("dub-2", "dub-3")):
        assert f"{first}/membership" in dublin.upstream(dublin.named(f"{second}/membership"))


def test_machines_are_an_output(dublin: Graph) -> None:
    assert dublin.outputs["machines"] == types(dublin)
