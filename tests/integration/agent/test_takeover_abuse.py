"""What a takeover must not be made to do, with whole agents. Needs root.

In each case: nobody is served who shouldn't be, nothing is sent but one initiation of 148
bytes in 5 s, to an endpoint that is known, and in the end one node owns the client and all
nodes agree which.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from ipaddress import ip_address

import pytest

from anycastle.model.addresses import Endpoint
from tests.support.capture import DATA, INITIATION, RESPONSE, Capture, Packet, capture
from tests.support.namespaces import run
from tests.support.postgres import cluster
from tests.support.steered_world import (
    SteeredWorld,
    data_packet,
    flow_of,
    spoof,
    steered_world,
)
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.timeout(300),
]

STRANGER = Endpoint(ip_address("198.18.0.66"), 6666)
SERVICE_PORT = 51820
HELPS_ITSELF = 40.0
"""Seconds in which a stock client that sends finds a node by itself: 15, and an answer."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteeredWorld]:
    folder = tmp_path_factory.mktemp("abuse")
    with cluster() as postgres, steered_world(folder, postgres) as made:
        # Packets to a stranger are seen on their way out of the edge.
        run(f"ip -n {made.world.edge.name} route replace 198.18.0.0/15 dev site")
        yield made


@pytest.fixture
def up(made: SteeredWorld) -> SteeredWorld:
    made.settle()
    return made


def at(world: SteeredWorld, number: int) -> None:
    """Client 1's packets go to this node, and it owns the client."""
    (client, _) = world.clients
    world.steer(world.nodes[number])
    client.begin()
    wait_for("the client reaches the service", client.ping, 30)
    assert world.owner(client) is world.nodes[number]


def sent(seen: Capture, *kinds: int) -> list[Packet]:
    """What left the node for clients."""
    return [p for p in seen.packets(*kinds, out=True) if p.source.port == SERVICE_PORT]


def assert_no_amplifier(packets: list[Packet], endpoint: Endpoint) -> None:
    assert {packet.destination for packet in packets} <= {endpoint}, list(map(str, packets))
    assert {packet.kind for packet in packets} <= {INITIATION}
    assert all(len(packet.payload) == 148 for packet in packets)
    gaps = [b.at - a.at for a, b in itertools.pairwise(packets)]
    assert all(gap > 4.9 for gap in gaps), gaps


def test_spoofed_packets_of_a_known_endpoint(up: SteeredWorld) -> None:
    """The worst case: the client is away and answers nothing."""
    at(up, 0)
    (client, _) = up.clients
    endpoint, target = client.endpoint(), up.nodes[1]
    time.sleep(1.0)
    client.freeze()
    try:
        with capture(target.space, "up0") as seen:
            began = time.monotonic()
            while time.monotonic() - began < 13.0:
                spoof(up.world, endpoint, target, [data_packet(n) for n in range(100)])
                time.sleep(0.5)
            packets = sent(seen)
    finally:
        client.thaw()
    assert 1 <= len(packets) <= 3, list(map(str, packets))
    assert_no_amplifier(packets, endpoint)
    # Relayed to the owner, which knows no such index.
    wait_for(
        "the owner refused them",
        lambda: up.metric(up.nodes[0], "takeover_packets_total", 'kind="refused"') > 0,
        20,
    )
    wait_for("the client reaches the service", client.ping, HELPS_ITSELF)
    up.owner(client, 20)


def test_one_spoofed_packet_is_one_initiation(up: SteeredWorld) -> None:
    """WireGuard itself would repeat it for a minute and a half."""
    at(up, 0)
    (client, _) = up.clients
    endpoint, target = client.endpoint(), up.nodes[2]
    time.sleep(6.0)  # who lost a client a moment ago does not take it back
    client.freeze()
    try:
        with capture(target.space, "up0") as seen:
            spoof(up.world, endpoint, target, [data_packet(1)])
            time.sleep(18.0)
            packets = sent(seen)
    finally:
        client.thaw()
    assert len(packets) == 1, list(map(str, packets))
    assert_no_amplifier(packets, endpoint)


def test_spoofed_packets_of_an_unknown_endpoint(up: SteeredWorld) -> None:
    at(up, 0)
    target = up.nodes[1]
    before = up.metric(target, "takeover_packets_total", 'kind="unknown"')
    with capture(target.space, "up0") as seen, capture(target.space, "fabric0") as fabric:
        spoof(up.world, STRANGER, target, [data_packet(number) for number in range(1000)])
        time.sleep(3.0)
        assert sent(seen) == []
        assert not [p for p in fabric.packets() if p.source == STRANGER]
    wait_for(
        "they were counted",
        lambda: up.metric(target, "takeover_packets_total", 'kind="unknown"') >= before + 1000,
        20,
    )


def test_a_replayed_initiation_moves_nothing(up: SteeredWorld) -> None:
    """A node that never saw the client takes it for fresh; what it answers is of no use to
    who replays it, and nothing is published."""
    client = up.clients[0]
    up.steer(up.nodes[0])
    with capture(up.world.edge, "site") as seen:
        client.begin()
        wait_for("the client reaches the service", client.ping, 30)
        initiation = seen.wait("its initiation", lambda packet: packet.kind == INITIATION, 5)
    assert up.owner(client) is up.nodes[0]
    target = up.nodes[1]
    confirmed = len(up.events("session.confirmed"))
    with up.pinging(client) as (ping,), capture(target.space, "up0") as seen:
        spoof(up.world, STRANGER, target, [initiation.payload] * 3)
        time.sleep(4.0)
        answers = sent(seen)
        assert len(answers) <= 1, "the same timestamp is not taken twice"
        assert all(packet.kind == RESPONSE for packet in answers)
        assert up.owners(client) == [up.nodes[0]]
        assert len(up.events("session.confirmed")) == confirmed
        # The wrong endpoint there does not keep the client from being taken over.
        up.steer(target)
        up.arrive(client, target)
        time.sleep(1.0)
        assert flow_of(ping).lost == []
    assert up.handshake(target, client)[1] == str(client.endpoint())


def test_a_client_that_roams_while_its_node_dies(up: SteeredWorld) -> None:
    """Nobody knows the new endpoint: its own timer has to do, and it does."""
    at(up, 0)
    (client, _) = up.clients
    before = client.endpoint()
    with up.pinging(client) as (ping,), capture(up.world.edge, "site") as seen:
        up.cut(up.nodes[0])
        up.release()
        client.move(client.port % 50000 + 1025)
        wait_for("it is served again", lambda: up.owners(client), HELPS_ITSELF)
        up.owner(client)
        began = ping.answers()
        # The node that was cut off may count as its owner until it is found out.
        wait_for("answers come", lambda: len(ping.answers()) > len(began), HELPS_ITSELF)
        up.owner(client)
        unasked = seen.packets(INITIATION, out=True)
    assert up.handshake(up.owner(client), client)[1] == str(client.endpoint())
    known = {before, *(each.endpoint() for each in up.clients)}
    assert {packet.destination for packet in unasked} <= known


def test_a_partition_heals_to_one_owner(up: SteeredWorld) -> None:
    """Two nodes that do not hear each other both serve the client in turn."""
    at(up, 0)
    (client, _) = up.clients
    first, second = up.nodes[0], up.nodes[1]
    with up.pinging(client, interval=0.1) as (ping,):
        with up.partition():
            time.sleep(10.0)  # their sessions are gone, and with them what they said
            up.steer(second)
            wait_for("the second has it", lambda: second in up.owners(client), 15)
            up.steer(first)
            back_at = time.time()
            # For the first node it never left; the client has to find that out by itself.
            wait_for(
                "the first has it again",
                lambda: up.handshake(first, client)[0] >= back_at,
                HELPS_ITSELF,
            )
        up.arrive(client, first, 60)
        began = ping.answers()
        wait_for("answers come", lambda: len(ping.answers()) > len(began), 20)
    up.arrive(client, first)
    wait_for("the second forgot", lambda: up.handshake(second, client)[0] == 0, 20)


def test_a_node_that_comes_back_with_stale_state(up: SteeredWorld) -> None:
    """Its WireGuard holds the old session still, and its agent has heard of nothing."""
    at(up, 0)
    (client, _) = up.clients
    stale = up.nodes[0]
    edge = up.world.edge.name
    time.sleep(1.0)
    run(f"ip -n {edge} link set {stale.spec.name} down")
    stale.kill()
    up.steer(up.nodes[1])
    wait_for("the client reaches the service", client.ping, 30)
    up.arrive(client, up.nodes[1])
    assert up.handshake(stale, client)[0] > 0
    with up.pinging(client) as (ping,), capture(stale.space, "up0") as seen:
        up.mend(stale)
        stale.start()
        stale.wait_state("UP", 40)
        up.arrive(client, up.nodes[1])
        wait_for("the old session is forgotten", lambda: up.handshake(stale, client)[0] == 0, 20)
        assert flow_of(ping).lost == []
        assert sent(seen, INITIATION, DATA) == []


def test_two_clients_behind_one_address(up: SteeredWorld) -> None:
    """Ports tell them apart; each is taken over by itself."""
    one, two = up.clients
    at(up, 0)
    two.begin()
    wait_for("the other client reaches the service", two.ping, 30)
    assert one.endpoint().address == two.endpoint().address
    with up.pinging(one, two) as pings:
        time.sleep(1.0)
        up.steer(up.nodes[1])
        up.arrive(one, up.nodes[1])
        up.arrive(two, up.nodes[1])
        time.sleep(1.0)
        for ping in pings:
            flow = flow_of(ping)
            assert flow.lost == [], str(flow)
    for client in (one, two):
        assert up.handshake(up.nodes[1], client)[1] == str(client.endpoint())


def test_a_port_that_another_client_got(up: SteeredWorld) -> None:
    """The endpoint is the other's now: no initiation to it for the one that left."""
    at(up, 0)
    one, two = up.clients
    port = one.port
    one.forget()
    one.move(port % 50000 + 1025)
    time.sleep(3.0)  # the NAT forgets
    two.move(port)
    two.begin()
    wait_for("the other client reaches the service", two.ping, 30)
    wait_for("it has the port", lambda: up.handshake(up.nodes[0], two)[1].endswith(f":{port}"), 10)
    with up.pinging(two) as (ping,):
        time.sleep(1.0)
        up.steer(up.nodes[1])
        up.arrive(two, up.nodes[1])
        time.sleep(1.0)
        assert flow_of(ping).lost == []
    assert up.handshake(up.nodes[1], one)[0] == 0, "never taken over"
