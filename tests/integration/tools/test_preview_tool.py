"""Previews without a cloud account, by the real CLI, on a program of two stacks."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tools.preview import workspace
from tools.preview.engine import PreviewFailed, Pulumi
from tools.preview.rehearsal import Rehearsal, Scene
from tools.preview.summary import Preview
from tools.provision import result

PROGRAM = """\
import pulumi
import pulumi_aws as aws
from pulumi_command import remote

config = pulumi.Config("anycastle")
if config.get_object("stack") is None:
    key = aws.kms.Key("key")
    pulumi.export("key", key.arn)
    pulumi.export("token", pulumi.Output.secret(config.require_secret("token")))
else:
    datacentre = config.require_object("datacentre")
    world = pulumi.StackReference(f"organization/anycastle/{config.require_object('stack')['reads']}")
    vpc = aws.ec2.Vpc("net", cidr_block="10.0.0.0/16")
    subnets = {
        zone: aws.ec2.Subnet(zone, vpc_id=vpc.id, cidr_block=f"10.0.{index}.0/24")
        for index, zone in enumerate("abc")
    }
    for node in datacentre["nodes"]:
        machine = aws.ec2.Instance(
            node["name"], ami="ami-1", instance_type=datacentre["type"],
            subnet_id=subnets[node["zone"]].id,
            root_block_device={"encrypted": True, "kms_key_id": world.require_output("key")},
        )
        remote.Command(
            f"{node['name']}/agent", connection=remote.ConnectionArgs(host=machine.private_ip),
            create="sh -s", stdin=world.require_output("token"),
        )
    pulumi.export("key", world.require_output("key"))
"""
GLOBAL = {
    "secretsprovider": "awskms:///alias/nobody-has-it",
    "encryptedkey": "AAAA",
    "config": {"anycastle:token": {"secure": "AAABAAAA"}},
}


def region(**datacentre: Any) -> dict[str, Any]:
    nodes = [{"name": f"n{number}", "id": number, "zone": "a"} for number in (1, 2)]
    return {
        "config": {
            "aws:region": "eu-west-1",
            "anycastle:stack": {"role": "region", "reads": "global"},
            "anycastle:datacentre": {"nodes": nodes, "type": "c6in.large", **datacentre},
        }
    }


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("program")
    (folder / "Pulumi.yaml").write_text("name: anycastle\nruntime: python\n")
    (folder / "__main__.py").write_text(PROGRAM)
    return folder


def preview(program: Path, now: Mapping[str, Any], before: Mapping[str, Any] | None) -> Preview:
    def scene(document: Mapping[str, Any]) -> Scene:
        return Scene({"global": GLOBAL, "dub": document}, program)

    work = Rehearsal(result.read(), scene(now), scene(before) if before else None)
    with work.staged("dub") as pulumi:
        return pulumi.preview("dub", policy=False)


def test_a_region_from_nothing_reads_its_global_stack(program: Path) -> None:
    found = preview(program, region(), None)
    assert found.errors == ()
    created = {step.name: step for step in found.steps if step.op == "create"}
    assert set(created) >= {"stack", "net", "a", "b", "c", "n1", "n2", "n1/agent", "n2/agent"}
    assert created["n1"].dependencies == ("a", "organization/anycastle/global")
    assert "n1" in created["n1/agent"].dependencies


def test_the_difference_touches_only_what_changed(program: Path) -> None:
    nodes = [{"name": "n1", "id": 1, "zone": "a"}, {"name": "n2", "id": 2, "zone": "b"}]
    found = preview(program, region(nodes=nodes), region())
    assert [(step.op, step.name, step.reasons) for step in found.changes] == [
        ("replace", "n2", ("subnetId",)),
        ("update", "n2/agent", ()),
    ]
    bigger = preview(program, region(type="c6in.xlarge"), region())
    assert {(step.op, step.name, step.changed) for step in bigger.changes} == {
        ("update", "n1", ("instanceType",)),
        ("update", "n2", ("instanceType",)),
    }


def test_an_error_of_the_program_is_reported(program: Path) -> None:
    found = preview(program, region(nodes=[{"name": "n1", "id": 1}]), None)
    assert not found.passed
    assert any("KeyError: 'zone'" in error for error in found.errors)


def up(work: Pulumi, *, pretend: bool) -> subprocess.CompletedProcess[str]:
    return work._run(
        "up", "--yes", "--skip-preview", "--stack", "global",
        "--config-file", str(work.place.config("global")), pretend=pretend,
    )  # fmt: skip


def test_nothing_is_created_outside_of_a_throw_away_backend(program: Path) -> None:
    with workspace.temporary() as place:
        work = Pulumi(place, result.read(), program)
        work.configure("global", {"config": {"anycastle:token": "t"}})
        refused = up(work, pretend=False)
        assert refused.returncode != 0
        assert "only previews: it can't create key (aws:kms/key:Key)" in refused.stdout
        pretended = up(work, pretend=True)
        assert pretended.returncode == 0, pretended.stdout
        state = work.checkpoint("global").read_text()
        assert '"id":"pretended-key"' in state
        destroyed = work._run("destroy", "--yes", "--skip-preview", "--stack", "global",
                              "--config-file", str(place.config("global")), pretend=True)  # fmt: skip
        assert destroyed.returncode != 0
        assert "only previews: it can't delete key" in destroyed.stdout


def test_a_stack_that_is_missing_is_named(program: Path) -> None:
    work = Rehearsal(result.read(), Scene({"dub": region()}, program))
    with pytest.raises(PreviewFailed, match="no stack 'global'"), work.staged("dub"):
        pass
