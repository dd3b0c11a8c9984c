"""What a change of a region's file touches: exactly what it says, and nothing else."""

from __future__ import annotations

from typing import Any

from tests.program.aws.conftest import Region, with_entry
from tests.program.conftest import Config
from tests.program.graph import Graph, difference

DUBLIN = "aws-eu-west-1"
INSTANCE = "aws:ec2/instance:Instance"


def aws(config: Config) -> dict[str, Any]:
    found: dict[str, Any] = config["anycastle:datacentre"]["aws"]
    return found


def nodes(config: Config) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = config["anycastle:datacentre"]["nodes"]
    return found


def inputs(graph: Graph, name: str, other: Graph) -> dict[str, tuple[Any, Any]]:
    """The inputs of an instance that differ."""
    old, new = (one.named(name, INSTANCE).inputs for one in (graph, other))
    return {key: (old.get(key), new.get(key)) for key in old | new if old.get(key) != new.get(key)}


def test_the_same_file_is_the_same_graph(region: Region, dublin: Graph) -> None:
    assert difference(dublin, region(DUBLIN)) == (set(), set(), set())


def test_another_instance_type_is_the_instances_alone(
    region: Region, config: Config, dublin: Graph
) -> None:
    aws(config)["instance_type"] = "c6in.xlarge"
    after = region(DUBLIN, config)
    assert difference(dublin, after) == (set(), set(), {"dub-1", "dub-2", "dub-3"})
    assert inputs(dublin, "dub-1", after) == {"instanceType": ("c6in.large", "c6in.xlarge")}


def test_a_new_node_is_itself_and_a_peer_of_the_others(
    region: Region, config: Config, dublin: Graph
) -> None:
    nodes(config).insert(0, {"name": "dub-4", "id": 14, "zone": "eu-west-1a"})
    added, gone, changed = difference(dublin, region(DUBLIN, config))
    assert (gone, changed) == (set(), {f"dub-{n}/peers" for n in (1, 2, 3)})
    assert {name for name in added if name != "dub-4" and not name.startswith("dub-4/")} == set()
    assert {"dub-4", "dub-4/target", "dub-4/api", "dub-4/membership", "dub-4/roll"} <= added


def test_the_other_image_makes_one_node_anew(region: Region, config: Config, dublin: Graph) -> None:
    aws(config)["images"]["b"] = "ami-0b00000000000000b"
    nodes(config)[0]["image"] = "b"
    after = region(DUBLIN, config)
    added, gone, changed = difference(dublin, after)
    assert (added, gone) == ({"dub/spread/2b"}, set())
    assert inputs(dublin, "dub-1", after) == {
        "ami": ("ami-0a00000000000000a", "ami-0b00000000000000b"),
        "privateIp": ("10.20.0.38", "10.20.0.39"),
        "placementGroup": ("anycastle-prod-dub-2a", "anycastle-prod-dub-2b"),
    }
    elsewhere = {name for name in changed if not name.startswith("dub-1")}
    assert elsewhere == {f"dub-{n}/peers" for n in (2, 3)}


def test_another_zone_replaces_that_node_alone(
    region: Region, config: Config, dublin: Graph
) -> None:
    nodes(config).append({"name": "dub-4", "id": 14, "zone": "eu-west-1a"})
    before = region(DUBLIN, config)
    nodes(config)[-1]["zone"] = "eu-west-1c"
    after = region(DUBLIN, config)
    added, gone, changed = difference(before, after)
    assert (added, gone) == (set(), set())
    assert {name for name in changed if not name.startswith("dub-4")} == {
        f"dub-{n}/peers" for n in (1, 2, 3)
    }
    moved = inputs(before, "dub-4", after)
    assert set(moved) == {"availabilityZone", "subnetId", "privateIp"}


def test_another_entry_leaves_machines_and_network_as_they_are(
    region: Region, config: Config, by_route_server: Graph
) -> None:
    after = region(DUBLIN, with_entry(config, "accelerator"), alone=True)
    added, gone, changed = difference(by_route_server, after)
    assert gone == {"dub/route-server/internet"}
    roots = ("dub/nlb", "dub/accelerator")
    targets = {f"dub-{n}/target" for n in (1, 2, 3)}
    checks = {"dub/nodes/agent/vpc"}  # who asks whether a node may serve
    assert {name for name in added if not name.startswith(roots)} == targets | checks
    assert changed == {f"dub-{n}/{part}" for n in (1, 2, 3) for part in ("agent", "roll")}


def test_balancing_across_zones_is_one_setting_of_one_resource(
    region: Region, config: Config, dublin: Graph
) -> None:
    aws(config)["cross_zone"] = True
    assert difference(dublin, region(DUBLIN, config)) == (set(), set(), {"dub/nlb"})


def test_without_flow_logs_nothing_else_differs(
    region: Region, config: Config, dublin: Graph
) -> None:
    aws(config)["flow_log_days"] = 0
    added, gone, changed = difference(dublin, region(DUBLIN, config))
    assert (added, gone, changed) == (set(), {"dub/network/flow-logs"}, set())
