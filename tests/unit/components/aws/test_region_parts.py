"""What a region is made of, as far as it follows from settings."""

from __future__ import annotations

from functools import cache
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
import yaml
from hypothesis import given

from anycastle.model.aws import AwsDatacentre, Entry
from anycastle.model.deployment import Datacentre, Deployment, Node
from components.aws import plan
from components.aws.entry_nlb import NAME_LENGTH, limited
from components.aws.interconnect import earlier
from components.aws.nodes import attachment
from components.aws.route_server import edge_peers
from components.aws.security import node_rules
from components.settings import parse_stack

STACKS = Path(__file__).parents[4] / "stacks"


def config(stack: str) -> dict[str, object]:
    document: dict[str, object] = yaml.safe_load((STACKS / f"Pulumi.{stack}.yaml").read_text())[
        "config"
    ]
    return document


@cache
def shipped() -> Deployment:
    others = {name: config(name) for name in ("global", "aws-us-east-1", "metal-fra")}
    return parse_stack("aws-eu-west-1", config("aws-eu-west-1"), others).deployment


@pytest.fixture
def deployment() -> Deployment:
    return shipped()


def named(deployment: Deployment, name: str) -> Datacentre:
    return next(dc for dc in deployment.datacentres if dc.name == name)


def test_the_region_with_lower_ids_is_the_earlier_one(deployment: Deployment) -> None:
    dublin, virginia = named(deployment, "dub"), named(deployment, "iad")
    assert list(earlier(deployment, dublin)) == []
    assert list(earlier(deployment, virginia)) == [dublin]


@given(st.permutations(range(3)))
def test_each_two_regions_are_peered_once(order: list[int]) -> None:
    parsed = shipped()
    dublin = named(parsed, "dub")
    regions = [
        msgspec.structs.replace(dublin, name=f"r{n}", nodes=(Node(name=f"n{n}", id=n + 1),))
        for n in order
    ]
    whole = msgspec.structs.replace(parsed, datacentres=tuple(regions))
    pairs = [{one.name, other.name} for one in regions for other in earlier(whole, one)]
    assert sorted(map(sorted, pairs)) == [["r0", "r1"], ["r0", "r2"], ["r1", "r2"]]


def test_a_node_leaves_by_the_router_of_its_subnet(deployment: Deployment) -> None:
    dublin = named(deployment, "dub")
    found = attachment(deployment, dublin, dublin.nodes[1])
    (gateway,) = found.gateways
    assert (gateway.device, str(gateway.address)) == ("ens5", "10.20.16.1")
    assert found.anycast.addresses == (found.underlay,) == (IPv4Address("10.20.16.40"),)
    assert found.anycast.prefixes == ()


def sources(deployment: Deployment, own: AwsDatacentre) -> dict[str, set[str]]:
    """`protocol/first port` -> who may come in there."""
    assert deployment.aws is not None
    found: dict[str, set[str]] = {}
    for rule in node_rules(deployment, deployment.aws, own):
        found.setdefault(f"{rule.protocol}/{rule.ports[0]}", set()).add(rule.source)
    return found


def test_a_node_is_reached_from_named_sources_only(deployment: Deployment) -> None:
    assert sources(deployment, dublins()) == {
        "udp/51820": {"0.0.0.0/0"},
        "icmp/3": {"0.0.0.0/0"},
        "tcp/22": {"203.0.113.0/28"},
        "udp/4789": {"10.20.0.0/16", "10.30.0.0/16", "10.64.0.0/24"},
        "tcp/9178": {"10.20.0.0/16", "10.90.0.0/24"},
        "tcp/179": {"10.20.0.0/16"},
        "udp/3784": {"10.20.0.0/16"},
    }


def test_nobody_reaches_what_nobody_needs(deployment: Deployment) -> None:
    announcing = msgspec.structs.replace(dublins(), entry=Entry.ROUTE_SERVER)
    assert sources(deployment, announcing)["tcp/9178"] == {"10.90.0.0/24"}
    without = sources(deployment, msgspec.structs.replace(dublins(), route_server=None))
    assert {"tcp/179", "udp/3784"}.isdisjoint(without)


def test_endpoints_are_edges_without_ipv6(deployment: Deployment) -> None:
    own = named(deployment, "dub").aws
    assert own is not None
    address = IPv4Address("10.20.0.38")
    peers = edge_peers(own, "eu-west-1a", address, ["10.20.0.9", "10.20.0.12"])
    assert [peer.name for peer in peers] == ["rs-eu-west-1a-1", "rs-eu-west-1a-2"]
    assert [peer.session(4) for peer in peers] == [
        (address, IPv4Address("10.20.0.9")),
        (address, IPv4Address("10.20.0.12")),
    ]
    assert peers[0].session(6) is None
    assert peers[0].local4.network == IPv4Network("10.20.0.0/20")


@given(st.sets(st.integers(1, 500), min_size=1, max_size=60))
def test_no_placement_group_has_more_nodes_than_a_zone_takes(ids: set[int]) -> None:
    own = dublins()
    groups = [plan.spread(own, Node(name=f"n{number}", id=number)) for number in ids]
    assert max(groups.count(group) for group in groups) <= plan.SPREAD


def test_the_other_image_is_another_placement_group() -> None:
    own = dublins()
    assert plan.spread(own, Node(name="n", id=7)) == "1a"
    assert plan.spread(own, Node(name="n", id=8, image="b")) == "2b"


def dublins() -> AwsDatacentre:
    own = named(shipped(), "dub").aws
    assert own is not None
    return own


@given(st.lists(st.from_regex(r"[a-z][a-z0-9]{0,40}", fullmatch=True), min_size=1, max_size=4))
def test_a_name_fits_and_is_the_same_each_time(parts: list[str]) -> None:
    name = limited(*parts)
    assert len(name) <= NAME_LENGTH
    assert name == limited(*parts)
    if len("-".join(parts)) <= NAME_LENGTH:
        assert name == "-".join(parts)


def test_long_names_that_begin_alike_differ() -> None:
    assert limited("a" * 40, "one") != limited("a" * 40, "two")
