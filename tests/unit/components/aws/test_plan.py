"""Addresses, names and ARNs, from settings alone."""

from __future__ import annotations

from ipaddress import IPv4Network

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from anycastle.model.aws import AwsDatacentre, Entry
from anycastle.model.deployment import Datacentre, Kind, Node
from components.aws import plan

NETWORK = IPv4Network("10.20.0.0/16")
AWS = AwsDatacentre(
    region="eu-west-1",
    network=NETWORK,
    zones=("eu-west-1a", "eu-west-1b", "eu-west-1c"),
    entry=Entry.NLB,
    images={"a": "ami-1", "b": "ami-2"},
)


def test_public_subnets_come_first_private_ones_from_the_ninth() -> None:
    assert [str(plan.public_subnet(NETWORK, zone)) for zone in range(3)] == [
        "10.20.0.0/20",
        "10.20.16.0/20",
        "10.20.32.0/20",
    ]
    assert str(plan.private_subnet(NETWORK, 0)) == "10.20.128.0/20"
    assert str(plan.gateway(plan.public_subnet(NETWORK, 1))) == "10.20.16.1"


def test_a_letter_may_have_an_instance_type_of_its_own() -> None:
    aws = msgspec.structs.replace(AWS, instance_type="small", instance_types={"b": "large"})
    node = Node(name="n", id=11, zone="eu-west-1b")
    assert plan.instance_type(aws, node) == "small"
    assert plan.instance_type(aws, msgspec.structs.replace(node, image="b")) == "large"
    assert plan.instance_type(msgspec.structs.replace(aws, image="b"), node) == "large"


def test_a_nodes_address_is_its_id_and_letter_in_its_zone() -> None:
    node = Node(name="n", id=11, zone="eu-west-1b")
    assert str(plan.node_address(AWS, node)) == "10.20.16.38"
    assert str(plan.node_address(AWS, msgspec.structs.replace(node, image="b"))) == "10.20.16.39"
    assert str(plan.node_address(AWS, msgspec.structs.replace(node, zone="eu-west-1c"))) == (
        "10.20.32.38"
    )


def test_another_image_for_the_datacentre_is_another_address_for_who_names_none() -> None:
    later = msgspec.structs.replace(AWS, image="b")
    node = Node(name="n", id=1, zone="eu-west-1a")
    assert plan.node_address(later, node) == plan.node_address(AWS, node) + 1
    own = msgspec.structs.replace(node, image="a")
    assert plan.node_address(later, own) == plan.node_address(AWS, own)


@given(st.integers(16, 20), st.data())
def test_no_two_nodes_or_letters_share_an_address(length: int, data: st.DataObject) -> None:
    network = IPv4Network(f"10.0.0.0/{length}")
    aws = msgspec.structs.replace(AWS, network=network)
    ids = data.draw(st.sets(st.integers(1, plan.highest_id(network)), min_size=2, max_size=8))
    zone = data.draw(st.sampled_from(aws.zones))
    addresses = [
        plan.node_address(aws, Node(name="n", id=number, zone=zone, image=letter))
        for number in ids
        for letter in plan.LETTERS
    ]
    assert len(set(addresses)) == len(addresses)
    subnet = plan.zone_subnet(aws, zone)
    # AWS keeps the first four addresses of a subnet and the last.
    usable = [address for address in addresses if address in subnet]
    assert usable == addresses
    assert min(addresses) >= subnet.network_address + plan.FIRST_NODE_OFFSET
    assert max(addresses) < subnet.broadcast_address


def test_the_highest_id_is_the_highest() -> None:
    network = IPv4Network("10.0.0.0/20")
    aws = msgspec.structs.replace(AWS, network=network)
    last = Node(name="n", id=plan.highest_id(network), zone="eu-west-1a", image="b")
    beyond = msgspec.structs.replace(last, id=last.id + 1)
    subnet = plan.zone_subnet(aws, "eu-west-1a")
    assert plan.node_address(aws, last) < subnet.broadcast_address
    assert plan.node_address(aws, beyond) >= subnet.broadcast_address - 1


def test_tunnel_ends_are_addresses_in_aws_and_loopbacks_elsewhere() -> None:
    node = Node(name="n", id=1, zone="eu-west-1a")
    in_aws = Datacentre(name="dub", kind=Kind.AWS, nodes=(node,), aws=AWS)
    assert plan.underlay(in_aws, node) == plan.node_address(AWS, node)
    assert plan.underlay(Datacentre(name="fra", kind=Kind.METAL, nodes=(node,)), node) is None


def test_a_secrets_arn_ends_in_six_characters_that_aws_adds() -> None:
    name = plan.join_token_name("prod", "dub-1")
    assert name == "anycastle/prod/nodes/dub-1/join-token"
    assert plan.secret_arn("123456789012", "eu-west-1", name) == (
        "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
        "anycastle/prod/nodes/dub-1/join-token-??????"
    )
