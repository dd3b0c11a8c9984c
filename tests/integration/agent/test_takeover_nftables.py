"""Takeover by whole agents where nftables is the packet path. Needs root.

The path's own tests are in takeover/; here it is the agent's, chosen by a setting.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from anycastle.model.deployment import PathChoice, Takeover
from tests.support.postgres import cluster
from tests.support.steered_world import SteeredWorld, flow_of, steered_world
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.timeout(300),
]

SOON = 5.0
"""Seconds: far above what a takeover needs, far below the 15 that a client waits."""
BY_NFTABLES = Takeover(path=PathChoice.NFTABLES)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteeredWorld]:
    folder = tmp_path_factory.mktemp("takeover")
    with cluster() as postgres, steered_world(folder, postgres, takeover=BY_NFTABLES) as made:
        yield made


@pytest.fixture
def up(made: SteeredWorld) -> SteeredWorld:
    for node in made.nodes:
        made.configure(node, BY_NFTABLES)
    made.settle()
    return made


def logs(world: SteeredWorld) -> str:
    return "\n".join(f"== {node.spec.name}\n{node.log()}" for node in world.nodes)


def test_the_setting_is_told_and_bpf_is_not_there(up: SteeredWorld) -> None:
    for node in up.nodes:
        assert node.status()["takeover"] == "nftables: bpf: takeover.path is nftables"
        assert up.metric(node, "takeover_info", 'path="nftables"') == 1
        assert "bpf" not in node.space.run("tc filter show dev up0 ingress")
        assert "anycastle_takeover" in node.space.run("nft list tables")


@pytest.mark.parametrize("version", [4, 6])
def test_the_clients_of_a_dead_node_go_on(up: SteeredWorld, version: int) -> None:
    for client in up.clients:
        client.begin(version)
        wait_for("the client reaches the service", client.ping, 30)
    dead = up.owner(up.clients[0])
    with up.pinging(*up.clients) as pings:
        time.sleep(1.0)
        up.cut(dead)
        time.sleep(SOON + 1)
        flows = [flow_of(ping) for ping in pings]
    for client, flow in zip(up.clients, flows, strict=True):
        assert flow.longest_gap < SOON, f"{flow}\n{logs(up)}"
        assert up.owner(client) is not dead


@pytest.mark.parametrize("version", [4, 6])
def test_when_routing_moves_nothing_is_lost(up: SteeredWorld, version: int) -> None:
    (client, _) = up.clients
    up.steer(up.nodes[0])
    client.begin(version)
    wait_for("the client reaches the service", client.ping, 30)
    assert up.owner(client) is up.nodes[0]
    relayed = up.relayed()
    with up.pinging(client) as (ping,):
        time.sleep(1.0)
        for node in (up.nodes[1], up.nodes[0]):
            up.steer(node)
            up.arrive(client, node)
            time.sleep(6.0)
        flow = flow_of(ping)
    assert flow.lost == [], f"{flow}\n{logs(up)}"
    wait_for("what was relayed is counted", lambda: up.relayed() > relayed, 20)


def test_another_path_takes_over_while_packets_flow(up: SteeredWorld) -> None:
    """From nftables to BPF and back by reloads: an own session goes on, and so do takeovers."""
    (client, _) = up.clients
    node, other = up.nodes[0], up.nodes[1]
    up.steer(node)
    client.begin()
    wait_for("the client reaches the service", client.ping, 30)
    assert up.owner(client) is node
    with up.pinging(client) as (ping,):
        for takeover in (Takeover(), BY_NFTABLES, Takeover()):
            for each in (node, other):
                up.configure(each, takeover)
                up.ready(each)
            time.sleep(1.0)
        flow = flow_of(ping)
    assert flow.lost == [], f"{flow}\n{logs(up)}"
    assert "anycastle_takeover" not in node.space.run("nft list tables")
    with up.pinging(client) as (ping,):
        up.steer(other)
        up.arrive(client, other)
        assert flow_of(ping).longest_gap < SOON
