"""The address plan, and the documents that are made from it."""

from __future__ import annotations

import json
from pathlib import Path

import hypothesis.strategies as st
import msgspec
import pytest
import yaml
from hypothesis import given

from anycastle.model.codec import Key, from_json
from anycastle.model.control import ControlSpec
from anycastle.model.deployment import Deployment, Node, Routing
from anycastle.model.node import NodeSpec, Peer
from components import admission, network, peering, specs
from components.settings import parse

STACK = Path(__file__).parents[3] / "stacks" / "Pulumi.lab.yaml"
CONFIG = yaml.safe_load(STACK.read_text())["config"]
KEY = Key(bytes(range(32)))


@pytest.fixture(scope="module")
def deployment() -> Deployment:
    return parse(CONFIG["anycastle:deployment"], CONFIG["anycastle:lab"]).deployment


def test_a_nodes_addresses_come_from_its_id(deployment: Deployment) -> None:
    fra = deployment.datacentres[1]
    spec = specs.node_spec(deployment, fra, fra.nodes[0])
    assert (str(spec.loopbacks.v4), str(spec.loopbacks.v6)) == ("10.64.0.3", "fd00:64::3")
    (edge,) = spec.edges
    assert (edge.name, edge.asn, edge.device) == ("fra-edge", 64602, "up0")
    assert (str(edge.local4), str(edge.remote4)) == ("10.65.2.7/31", "10.65.2.6")
    assert (str(edge.local6), str(edge.remote6)) == ("fd00:65:2::7/127", "fd00:65:2::6")


def test_a_nodes_daemon_is_its_own_or_its_datacentres(deployment: Deployment) -> None:
    fra = deployment.datacentres[1]
    own = Node(name="x", id=9, routing=Routing.BIRD)
    assert specs.node_spec(deployment, fra, fra.nodes[0]).routing is Routing.FRR
    assert specs.node_spec(deployment, fra, own).routing is Routing.BIRD


@given(st.sets(st.integers(1, 127), min_size=2, max_size=20))
def test_no_two_nodes_share_an_address(ids: set[int]) -> None:
    parsed = parse(CONFIG["anycastle:deployment"], CONFIG["anycastle:lab"]).deployment
    ams = parsed.datacentres[0]
    addresses = []
    for number in ids:
        one = Node(name=f"n{number}", id=number)
        own = network.loopbacks(parsed, one)
        (edge,) = network.edge_peers(ams, one)
        assert edge.local6 is not None
        addresses += [own.v4, own.v6, edge.local4.ip, edge.local6.ip, edge.remote4, edge.remote6]
    assert len(set(addresses)) == len(addresses)


def test_a_nodes_peers_are_all_others(deployment: Deployment) -> None:
    peers = from_json(peering.Mesh(deployment).around("ams-2"), tuple[Peer, ...])
    assert [p.name for p in peers] == ["ams-1", "fra-1", "fra-2"]
    peer = list(network.peers(deployment))[1]
    assert (peer.name, peer.datacentre, str(peer.loopbacks.v4)) == ("ams-2", "ams", "10.64.0.2")


def test_a_document_is_what_the_agent_reads(deployment: Deployment) -> None:
    ams = deployment.datacentres[0]
    spec = specs.node_spec(deployment, ams, ams.nodes[0])
    assert from_json(specs.document(spec), NodeSpec) == spec


def test_the_inter_node_path_is_smaller_than_the_links(deployment: Deployment) -> None:
    ams = deployment.datacentres[0]
    assert specs.node_spec(deployment, ams, ams.nodes[0]).fabric.mtu == 1450


def test_the_control_spec_names_every_address_once(deployment: Deployment) -> None:
    spec = specs.control_spec(deployment, KEY, "10.213.0.9")
    assert spec.names == (
        "198.51.100.17",
        "2001:db8:100:1::1",
        "10.213.0.9",
        "localhost",
        "127.0.0.1",
        "::1",
    )
    assert [str(n) for n in spec.allowed_networks] == [
        "10.50.1.0/24",
        "fd00:50:1::/64",
        "10.50.2.0/24",
        "fd00:50:2::/64",
    ]
    assert from_json(specs.document(spec), ControlSpec) == spec


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("192.0.2.7", "https://192.0.2.7:8443"),
        ("2001:db8::7", "https://[2001:db8::7]:8443"),
        ("control.example.net", "https://control.example.net:8443"),
    ],
)
def test_urls_put_ipv6_in_brackets(host: str, expected: str) -> None:
    assert specs.url(host, 8443) == expected


def test_a_join_token_is_asked_for_again_when_a_disk_is_new() -> None:
    first = admission.join_token_command("ams-1", "d1", "c1")
    assert first.startswith("runuser -u anycastle -- anycastle-control join-token ams-1 ")
    assert (
        len(
            {
                first,
                admission.join_token_command("ams-1", "d2", "c1"),
                admission.join_token_command("ams-1", "d1", "c2"),
            }
        )
        == 3
    )


def test_a_node_more_is_one_line_more(deployment: Deployment) -> None:
    """What a preview's difference shows of the others when a node comes."""
    ams, *rest = deployment.datacentres
    more = msgspec.structs.replace(ams, nodes=(*ams.nodes, Node(name="ams-11", id=11)))
    wider = msgspec.structs.replace(deployment, datacentres=(more, *rest))
    before = set(peering.Mesh(deployment).around("ams-1").splitlines())
    (line,) = set(peering.Mesh(wider).around("ams-1").splitlines()) - before
    assert json.loads(line.rstrip(","))["name"] == "ams-11"


def test_a_node_without_others_has_a_list_all_the_same(deployment: Deployment) -> None:
    (first, *_) = deployment.datacentres
    alone = msgspec.structs.replace(
        deployment, datacentres=(msgspec.structs.replace(first, nodes=first.nodes[:1]),)
    )
    assert peering.Mesh(alone).around("ams-1") == "[]"
