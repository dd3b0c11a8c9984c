"""What a change of one setting does to a region that is up, by the real CLI on the real program."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tools.preview import rehearsal
from tools.preview.engine import PreviewFailed
from tools.preview.rehearsal import Rehearsal, Scene
from tools.preview.summary import Preview
from tools.provision import result

STACK = "aws-eu-west-1"
INSTANCE = "aws:ec2/instance:Instance"
Changing = Callable[[Callable[[dict[str, Any]], None]], Preview]

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    return rehearsal.documents()


@pytest.fixture(scope="module")
def recorded() -> dict[str, bytes]:
    """What the global stack left, the same for all tests."""
    return {}


@pytest.fixture
def preview(documents: dict[str, Any], recorded: dict[str, bytes]) -> Changing:
    """Of a change of the region's datacentre, against the region as it is shipped."""

    def run(change: Callable[[dict[str, Any]], None]) -> Preview:
        after = copy.deepcopy(documents)
        change(after[STACK]["config"]["anycastle:datacentre"])
        work = Rehearsal(result.read(), Scene(after), Scene(documents), recorded)
        with work.staged(STACK) as pulumi:
            found = pulumi.preview(STACK)
        assert found.errors == ()
        return found

    return run


def test_the_program_of_a_commit_runs_to_compare_with_it(documents: dict[str, Any]) -> None:
    with rehearsal.checkout_of("HEAD") as tree:
        before = Scene(rehearsal.documents(tree), tree)
        with Rehearsal(result.read(), Scene(documents), before).staged("global") as pulumi:
            found = pulumi.preview("global")
        assert (found.errors, found.violations) == ((), ())
        # What is there is compared: nearly everything would be created from nothing.
        assert found.counts()["create"] < 20
    assert not tree.exists()


def test_a_commit_that_is_not_there_is_named() -> None:
    with pytest.raises(PreviewFailed, match="git knows no 'nonsense'"):
        rehearsal.checkout_of("nonsense").__enter__()


def by_op(found: Preview) -> dict[str, set[str]]:
    """op -> names."""
    names: dict[str, set[str]] = {}
    for step in found.changes:
        names.setdefault(step.op, set()).add(step.name)
    return names


def beside(node: str, names: set[str]) -> set[str]:
    """Those that are neither the node's own nor other nodes' knowledge of their peers."""
    own = {name for name in names if name == node or name.startswith(f"{node}/")}
    return {name for name in names - own if "/peers" not in name}


def test_another_zone_replaces_that_node_and_no_other(preview: Changing) -> None:
    def move(datacentre: dict[str, Any]) -> None:
        datacentre["aws"]["cross_zone"] = True  # or the zone that it leaves needs a node
        datacentre["nodes"][0]["zone"] = "eu-west-1b"

    found = preview(move)
    assert found.violations == ()
    steps = by_op(found)
    assert steps.keys() == {"replace", "update"}
    assert {"dub-1", "dub-1/target", "dub-1/route-server/1"} <= steps["replace"]
    assert beside("dub-1", steps["replace"]) == set()
    assert beside("dub-1", steps["update"]) == {"dub/nlb"}


def test_the_other_letter_makes_one_node_anew(preview: Changing) -> None:
    def renew(datacentre: dict[str, Any]) -> None:
        datacentre["aws"]["images"]["b"] = "ami-0b00000000000000b"
        datacentre["aws"]["instance_types"] = {"b": "c6in.xlarge"}
        datacentre["nodes"][2]["image"] = "b"

    found = preview(renew)
    assert found.violations == ()
    steps = by_op(found)
    assert steps["create"] == {"dub/spread/2b"}
    assert "dub-3" in steps["replace"]
    assert "dub-3/membership" in steps["update"]
    assert beside("dub-3", steps["replace"] | steps["update"]) == set()


def test_a_node_more_is_its_own_resources_and_a_peer_of_others(preview: Changing) -> None:
    def add(datacentre: dict[str, Any]) -> None:
        datacentre["nodes"].append({"name": "dub-4", "id": 14, "zone": "eu-west-1a"})

    found = preview(add)
    assert found.violations == ()
    steps = by_op(found)
    assert steps.keys() <= {"create", "update"}
    assert {"dub-4", "dub-4/membership"} <= steps["create"]
    assert beside("dub-4", set().union(*steps.values())) == set()


def test_another_instance_type_touches_instances_alone_and_not_all_at_once(
    preview: Changing,
) -> None:
    def resize(datacentre: dict[str, Any]) -> None:
        datacentre["aws"]["instance_type"] = "c6in.xlarge"

    found = preview(resize)
    assert by_op(found) == {"update": {"dub-1", "dub-2", "dub-3"}}
    assert {step.type for step in found.changes} == {INSTANCE}
    (violation,) = found.violations
    assert violation.rule == "node-turnover"
    assert "3 of dub's 3 nodes go at once (dub-1 stopped for another" in violation.message
