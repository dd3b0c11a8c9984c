"""What a region's stack registers: hosts, secrets, order, provider, tags."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.program.arguments import faults
from tests.program.aws.conftest import GLOBAL, Region
from tests.program.conftest import ProgramFailed
from tests.program.graph import Graph, Registration, clear, document

NODES = ("dub-1", "dub-2", "dub-3")
INSTANCE = "aws:ec2/instance:Instance"
SHAPES = ("dublin", "virginia", "by_nlb", "by_route_server")


@pytest.fixture(params=SHAPES)
def graph(request: pytest.FixtureRequest) -> Graph:
    """Each shape of a region."""
    found: Graph = request.getfixturevalue(request.param)
    return found


def in_aws(graph: Graph) -> list[Registration]:
    return [one for one in graph.resources.values() if one.type.startswith("aws:")]


def test_arguments_are_those_of_the_installed_sdk(graph: Graph) -> None:
    assert len(in_aws(graph)) > 60
    assert faults(graph) == []


def test_everything_is_made_by_the_regions_own_provider(graph: Graph) -> None:
    (provider,) = graph.of_type("pulumi:providers:aws")
    assert json.loads(provider.inputs["allowedAccountIds"]) == ["123456789012"]
    for one in in_aws(graph):
        assert one.provider.startswith(f"{provider.urn}::"), one.name


def test_what_has_tags_has_ours_and_the_operators(graph: Graph) -> None:
    tagged = [one for one in in_aws(graph) if "tags" in one.inputs]
    assert len(tagged) > 40
    for one in tagged:
        tags = one.inputs["tags"]
        assert tags["Name"] == one.name
        assert tags["anycastle:deployment"] == "prod"
        assert tags["anycastle:stack"].startswith("aws-")
        assert tags["team"] == "network"


def test_no_secret_is_registered_in_the_clear(graph: Graph) -> None:
    hidden = ("operator_token", "service_key", "aws_login_key")
    secrets = [str(GLOBAL[name]) for name in hidden] + ["join_token of", "private_key of"]
    for one in graph.resources.values():
        text = clear(one.inputs)
        assert not [secret for secret in secrets if secret in text], one.urn
    outputs = clear(graph.outputs)
    assert not [secret for secret in secrets if secret in outputs]


def test_an_instance(dublin: Graph) -> None:
    instance = dublin.named("dub-2", INSTANCE)
    assert instance.inputs["ami"] == "ami-0a00000000000000a"
    assert instance.inputs["instanceType"] == "c6in.large"
    assert instance.inputs["availabilityZone"] == "eu-west-1b"
    assert instance.inputs["privateIp"] == "10.20.16.40"
    assert instance.inputs["sourceDestCheck"] is False
    assert instance.inputs["metadataOptions"]["httpTokens"] == "required"
    assert instance.inputs["rootBlockDevice"]["encrypted"] is True
    assert instance.inputs["placementGroup"] == "anycastle-prod-dub-2a"
    (spread,) = dublin.of_type("aws:ec2/placementGroup:PlacementGroup")
    assert (spread.inputs["strategy"], spread.inputs["spreadLevel"]) == ("spread", "rack")


def test_a_node_reads_its_own_secrets_and_no_others(dublin: Graph) -> None:
    role = dublin.named("dub-1/role", "rolePolicy")
    (statement,) = json.loads(role.inputs["policy"])["Statement"]
    assert statement["Action"] == ["secretsmanager:GetSecretValue"]
    names = [arn.partition(":secret:")[2] for arn in statement["Resource"]]
    assert names == [
        "anycastle/prod/service-key-??????",
        "anycastle/prod/nodes/dub-1/join-token-??????",
        "anycastle/prod/hosts/dub-1/host-key-??????",
    ]


def test_a_join_token_goes_through_secrets_manager_alone(dublin: Graph) -> None:
    version = dublin.named("dub-1/join-token", "SecretVersion")
    assert version.is_secret("secretString")
    assert version.plain("secretString") == "join_token of dub-1/membership"
    fetched = dublin.named("dub-1/secrets")
    assert "secret:anycastle/prod/nodes/dub-1/join-token" in fetched.plain("stdin")
    assert {"dub-1/join-token", "dub-1/install"} <= dublin.upstream(fetched)


def test_a_node_joins_over_the_api_when_everything_expects_it(dublin: Graph) -> None:
    member = dublin.named("dub-1/membership")
    assert member.inputs["epoch"] == "id of dub-1"
    assert member.is_secret("token")
    expecting = {"dub-1", "dub-1/api", "dub-1/target", "dub-1/route-server/1", "dub/nlb/listener"}
    assert expecting <= dublin.upstream(member)
    assert "dub-1/membership" in dublin.upstream(dublin.named("dub-1/agent"))


def test_an_old_node_drains_before_its_address_moves_to_the_new_one(dublin: Graph) -> None:
    moved = dublin.named("dub-1/address", "EipAssociation")
    assert "dub-1/membership" in dublin.upstream(moved)
    first_command = dublin.named("dub-1/prepared")
    assert moved.urn in first_command.dependencies


def test_a_node_that_leaves_keeps_its_address_until_it_has_drained(dublin: Graph) -> None:
    instance = dublin.named("dub-1", INSTANCE)
    moved = dublin.named("dub-1/address", "EipAssociation")
    assert moved.deleted_with == instance.urn
    assert dublin.named("dub-1/address", "eip:Eip").urn in instance.dependencies


def test_everything_on_a_node_dies_with_its_instance(graph: Graph) -> None:
    commands = [one for one in graph.resources.values() if one.type.startswith("command:")]
    assert len(commands) > 12
    for one in commands:
        host = one.name.partition("/")[0]
        assert one.deleted_with == graph.named(host, INSTANCE).urn, one.name


def test_the_api_lets_each_node_in_by_its_public_address(dublin: Graph) -> None:
    entry = dublin.named("dub-3/api")
    assert entry.inputs["prefixListId"] == "pl-api"
    assert entry.inputs["cidr"] == "publicIp of dub-3/address/32"
    assert entry.inputs["region"] == "eu-west-1"


def test_no_node_waits_for_what_is_done_on_another(dublin: Graph) -> None:
    for name in NODES:
        needs = dublin.upstream(dublin.named(f"{name}/agent"))
        commands = {one.name for one in dublin.of_type("command:remote:Command")} & needs
        assert f"{name}/install" in commands
        assert {command.partition("/")[0] for command in commands} == {name}


def test_hosts_are_in_the_inventory(dublin: Graph) -> None:
    hosts = {host["name"]: host for host in dublin.outputs["hosts"]}
    assert set(hosts) == set(NODES)
    assert hosts["dub-1"]["address"] == "publicIp of dub-1/address"
    assert hosts["dub-1"]["place"] == "dub"


@pytest.mark.parametrize("stack", ["aws-eu-west-1", "aws-us-east-1"])
def test_a_preview_knows_as_much_as_there_is_to_know(region: Region, stack: str) -> None:
    """Also before any other stack is up: what those decide is unknown."""
    names = set(region(stack).resources)
    assert set(region(stack, preview=True).resources) == names
    assert set(region(stack, preview=True, outputs={}).resources) == names


def test_up_says_which_stack_comes_first(region: Region) -> None:
    with pytest.raises(ProgramFailed) as caught:
        region("aws-us-east-1", outputs={"global": GLOBAL})
    assert "stack 'aws-eu-west-1' has no output 'networks' yet" in str(caught.value)


def spec(graph: Graph, node: str) -> Any:
    return document(graph.named(f"{node}/agent"), "NODE_SPEC")


def test_a_node_behind_a_load_balancer_is_told_its_own_address(dublin: Graph) -> None:
    found = spec(dublin, "dub-1")
    assert found["anycast"]["addresses"] == ["10.20.0.38"]
    assert found["hold_anycast"] is False
    assert found["gateways"] == [{"device": "ens5", "address": "10.20.0.1"}]
    assert found["underlay"] == "10.20.0.38"
    assert found["secrets"]["service_key"].endswith(":secret:anycastle/prod/service-key")
    assert found["control"]["urls"] == ["https://api.vpn.example.net:8443"]


def test_a_node_that_announces_holds_the_anycast_addresses(by_route_server: Graph) -> None:
    found = spec(by_route_server, "dub-1")
    assert found["anycast"]["addresses"] == ["198.51.100.1"]
    assert found["hold_anycast"] is True
    assert [edge["name"] for edge in found["edges"]] == ["rs-eu-west-1a-1"]


def test_peers_are_reached_at_their_private_addresses(dublin: Graph) -> None:
    peers = {peer["name"]: peer for peer in document(dublin.named("dub-1/peers"), "PEERS")}
    assert peers["iad-2"]["underlay"] == "10.30.16.60"
    assert "underlay" not in peers["fra-1"]
