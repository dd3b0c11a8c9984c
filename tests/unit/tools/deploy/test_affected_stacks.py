"""Which stacks a change touches, and what goes first."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from tools.deploy.affected import Delivery, DeliveryFault, Order, affected, order, parse
from tools.workflows import WORKFLOWS, unpinned


def region(source: str) -> dict[str, Any]:
    return {"config": {"anycastle:stack": {"role": "region", "reads": source}}}


LAB: dict[str, Any] = {"config": {"anycastle:deployment": {"datacentres": [{"kind": "lab"}]}}}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "lab": LAB,
    "global": {"config": {}},
    "dub": region("global"),
    "iad": region("global"),
    "other": {"config": {}},
}
DELIVERY = Delivery(canary="dub", regions=("iad",), shared=("global",))
PIN = "a" * 40


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], []),
        (["docs/aws.md", "tests/unit/x.py", "README.md"], []),
        (["stacks/Pulumi.lab.yaml"], ["lab"]),
        (["stacks/Pulumi.iad.yaml"], ["dub", "global", "iad"]),
        (["stacks/Pulumi.global.yaml"], ["dub", "global", "iad"]),
        (["stacks/Pulumi.other.yaml", "docs/x.md"], ["other"]),
        (["stacks/Pulumi.gone.yaml"], sorted(DOCUMENTS)),
        (["components/aws/network.py"], sorted(DOCUMENTS)),
        (["runtime/anycastle/agent/loop.py"], sorted(DOCUMENTS)),
        (["policy/config.yaml"], sorted(DOCUMENTS)),
    ],
)
def test_what_a_change_touches(paths: list[str], expected: list[str]) -> None:
    assert affected(paths, DOCUMENTS) == expected


def test_the_canary_goes_before_any_region() -> None:
    assert order(DELIVERY, ["iad"]) == Order(
        shared=(), canary=("dub",), regions=("iad",), deployed=("iad",)
    )
    assert order(DELIVERY, ["dub", "global", "iad", "lab"]) == Order(
        shared=("global",), canary=("dub",), regions=("iad",), deployed=("global", "dub", "iad")
    )


def test_what_is_deployed_nowhere_is_compared_with_nothing() -> None:
    found = order(DELIVERY, ["lab", "other"])
    assert found == Order(shared=(), canary=(), regions=(), deployed=())


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("canary: nowhere", "there is no stack 'nowhere'"),
        ("canary: dub\nregions: [dub]", "a stack is named twice"),
        ("regions: [dub]", "missing required field `canary`"),
        ("canary: dub\nstages: []", "unknown field `stages`"),
        ("canary: [", "stacks/delivery.yaml"),
    ],
)
def test_a_wrong_delivery_is_refused(text: str, words: str) -> None:
    with pytest.raises(DeliveryFault, match="delivery") as caught:
        parse(text, DOCUMENTS)
    assert words in str(caught.value)


def test_a_delivery_names_its_stacks_in_order() -> None:
    found = parse("canary: dub\nregions: [iad]\nshared: [global]", DOCUMENTS)
    assert found.all == ("global", "dub", "iad")


def test_a_step_fails_with_any_part_of_a_pipe() -> None:
    """Jobs in containers have `sh` otherwise, where only the last command counts."""
    files = sorted(WORKFLOWS.glob("*.yml"))
    assert len(files) > 4
    for file in files:
        workflow = yaml.safe_load(file.read_text())
        scripts = [
            step["run"]
            for job in workflow["jobs"].values()
            for step in job.get("steps", [])
            if "run" in step
        ]
        if any(" | " in script for script in scripts):
            assert workflow["defaults"]["run"]["shell"] == "bash", file.name


def test_only_what_is_deployed_is_compared_with_what_is_there() -> None:
    workflow = yaml.safe_load((WORKFLOWS / "preview.yml").read_text())
    assert "outputs.deployed" in workflow["jobs"]["live"]["strategy"]["matrix"]["stack"]


@pytest.mark.parametrize(
    ("line", "loose"),
    [
        (f"      - uses: actions/checkout@{PIN} # v5.0.0", False),
        (f"        uses: a/b/c@{PIN} # v1", False),
        ("    uses: ./.github/workflows/deploy-stack.yml", False),
        ("      - uses: actions/checkout@v5", True),
        (f"      - uses: actions/checkout@{PIN}", True),
        (f"      - uses: actions/checkout@{PIN[:12]} # v5.0.0", True),
        ("      - run: echo uses: x", False),
    ],
)
def test_actions_are_pinned_by_commit_and_say_their_tag(line: str, loose: bool) -> None:
    assert bool(list(unpinned(f"on: push\n{line}\n"))) is loose
