"""Takeover by whole agents: clients behind NAT go from node to node. Needs root."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.support.agent_world import Node
from tests.support.capture import DATA, INITIATION, capture
from tests.support.postgres import cluster
from tests.support.steered_world import SteeredWorld, flow_of, steered_world
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.timeout(300),
]

SOON = 5.0
"""Seconds: far above what a takeover needs, far below the 15 that a client waits."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteeredWorld]:
    folder = tmp_path_factory.mktemp("takeover")
    with cluster() as postgres, steered_world(folder, postgres) as made:
        yield made


@pytest.fixture
def up(made: SteeredWorld) -> SteeredWorld:
    made.settle()
    return made


def logs(world: SteeredWorld) -> str:
    return "\n".join(f"== {node.spec.name}\n{node.log()}" for node in world.nodes)


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
    heir = up.owner(up.clients[0])
    assert up.handshake(heir, up.clients[0])[1] == str(up.clients[0].endpoint(version))
    assert any("took over" in text for text in up.events("takeover.confirmed"))


@pytest.mark.parametrize("version", [4, 6])
def test_when_routing_moves_nothing_is_lost(up: SteeredWorld, version: int) -> None:
    """The second chance: packets of the living owner's session are sent on to it."""
    (client, _) = up.clients
    up.steer(up.nodes[0])
    client.begin(version)
    wait_for("the client reaches the service", client.ping, 30)
    assert up.owner(client) is up.nodes[0]
    relayed = up.relayed()
    with up.pinging(client) as (ping,):
        time.sleep(1.0)
        for node in (up.nodes[1], up.nodes[2], up.nodes[0]):
            up.steer(node)
            up.arrive(client, node)
            # A client that moved is not taken back at once; that is another test.
            time.sleep(6.0)
        flow = flow_of(ping)
    assert flow.lost == [], f"{flow}\n{logs(up)}"
    time.sleep(10)  # the counters are looked at now and then
    assert up.relayed() > relayed


def test_a_client_that_comes_straight_back_loses_nothing(up: SteeredWorld) -> None:
    """Routing flaps: there and back within the time in which nobody takes it back."""
    (client, _) = up.clients
    up.steer(up.nodes[0])
    client.begin()
    wait_for("the client reaches the service", client.ping, 30)
    with up.pinging(client) as (ping,):
        time.sleep(1.0)
        up.steer(up.nodes[1])
        up.arrive(client, up.nodes[1])
        up.steer(up.nodes[0])
        up.arrive(client, up.nodes[0], 20)
        time.sleep(3.0)
        flow = flow_of(ping)
    assert flow.lost == [], f"{flow}\n{logs(up)}"


def test_the_loser_forgets_and_never_steals_back(up: SteeredWorld) -> None:
    (client, _) = up.clients
    loser, winner = up.nodes[0], up.nodes[1]
    up.steer(loser)
    client.begin()
    wait_for("the client reaches the service", client.ping, 30)
    assert up.owner(client) is loser
    with up.pinging(client) as (ping,), capture(loser.space, "up0") as seen:
        up.steer(winner)
        up.arrive(client, winner)
        wait_for("the loser forgot", lambda: up.handshake(loser, client) == (0, "(none)"), 10)
        seen.clear()
        time.sleep(16.0)  # any timer of a session under way would have fired
        assert not [p for p in seen.packets(INITIATION, DATA, out=True) if p.source.port == 51820]
        assert flow_of(ping).lost == []
    assert up.owner(client) is winner


def test_an_agent_that_restarts_meanwhile_loses_nothing(up: SteeredWorld) -> None:
    """What is relayed goes on being relayed, and the takeover happens when it is back."""
    (client, _) = up.clients
    owner, other = up.nodes[0], up.nodes[1]
    up.steer(owner)
    client.begin()
    wait_for("the client reaches the service", client.ping, 30)
    assert up.owner(client) is owner
    time.sleep(2.0)
    with up.pinging(client) as (ping,):
        time.sleep(1.0)
        other.kill()
        up.steer(other)
        time.sleep(2.0)
        assert up.owners(client) == [owner], "nobody is there to take it over"
        other.start()
        up.arrive(client, other, 30)
        owner.kill()
        owner.start()
        owner.wait_state("UP", 30)
        time.sleep(1.0)
        flow = flow_of(ping)
    assert flow.lost == [], f"{flow}\n{logs(up)}"
    assert up.owner(client, 20) is other


def test_a_restarted_owner_serves_on(up: SteeredWorld) -> None:
    """Its own sessions are not taken for other nodes' when its agent begins."""
    (client, _) = up.clients
    owner = up.owner(client)
    with up.pinging(client) as (ping,):
        time.sleep(1.0)
        up.steer(owner)
        owner.kill()
        owner.start()
        owner.wait_state("UP", 30)
        time.sleep(2.0)
        flow = flow_of(ping)
    assert flow.lost == [], f"{flow}\n{logs(up)}"
    assert up.owner(client, 20) is owner


def test_an_idle_client_moves_with_its_keepalive(up: SteeredWorld) -> None:
    (client, _) = up.clients
    up.steer(up.nodes[0])
    client.begin(keepalive=3)
    wait_for("the client reaches the service", client.ping, 30)
    assert up.owner(client) is up.nodes[0]
    up.steer(up.nodes[1])
    moved: list[Node] = wait_for(
        "the client moved", lambda: [n for n in up.owners(client) if n is up.nodes[1]], 15
    )
    assert moved == [up.nodes[1]]
    assert client.ping()


def test_a_drain_loses_nothing(up: SteeredWorld) -> None:
    (client, _) = up.clients
    drained = up.owner(client)
    with up.pinging(client) as (ping,):
        time.sleep(1.0)
        path = f"/v1/nodes/{drained.spec.name}"
        assert up.world.call("POST", f"{path}/drain", {"deadline_seconds": 60})[0] == 200
        try:
            wait_for("the client moved", lambda: drained not in up.owners(client), 30)
            time.sleep(5.0)
            flow = flow_of(ping)
        finally:
            up.world.call("POST", f"{path}/resume")
    assert flow.lost == [], f"{flow}\n{logs(up)}"
