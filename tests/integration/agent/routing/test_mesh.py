"""Speakers, real BIRD and FRR, an edge router: what each failure does, and how fast."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from functools import partial

import pytest

from anycastle.agent.routing.plan import families
from anycastle.model.addresses import fabric_interface, tunnel_gateway
from anycastle.model.deployment import Routing
from tests.support.bgp_node import Node, Speaker
from tests.support.bgp_world import (
    ANYCAST,
    World,
    add_address,
    birdc,
    veth,
    world,
)
from tests.support.namespaces import run
from tests.support.waiting import wait_for

BIRD, FRR, THIRD = 0, 1, 2


def routed_by(mesh: World, prefix: str, wanted: object) -> bool:
    return gateways(mesh, prefix) == wanted


def seen_at_edge(mesh: World, prefix: str, node: str, wanted: object) -> bool:
    return mesh.at_edge(prefix).get(node) == wanted


def heard(speaker: Speaker, announcer: str, demoted: bool) -> bool:
    return speaker.ask()["announcers"].get(announcer) is demoted


def unheard(speaker: Speaker, announcer: str) -> bool:
    return announcer not in speaker.ask()["announcers"]


BOTH = pytest.mark.parametrize("index", [BIRD, FRR], ids=["bird", "frr"])
PREFIX4, PREFIX6 = ANYCAST
AGGREGATES = (*ANYCAST, "10.200.0.0/14", "fd00:200::/64")


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Node 1 and 3 run BIRD, node 2 runs FRR."""
    if os.geteuid() != 0:
        pytest.skip("needs root for network namespaces")
    daemons = [Routing.BIRD, Routing.FRR, Routing.BIRD]
    with world(tmp_path_factory.mktemp("mesh"), daemons) as made:
        yield made


@pytest.fixture
def speakers(mesh: World) -> Iterator[list[Speaker]]:
    """One speaker on every node, announcing anycast; no client routes of earlier tests."""
    made = mesh.speak()
    for speaker in made:
        speaker.tell(anycast="up")
    wait_for("the edge has every node", lambda: len(mesh.at_edge(PREFIX4)) == 3, 10)
    yield made
    for node in mesh.nodes:
        node.quiet()


def fabric(node: Node, version: int) -> str:
    networks = node.spec.fabric.networks
    network = networks.v4 if version == 4 else networks.v6
    return str(fabric_interface(network, node.spec.loopbacks.v4).ip)


def gateways(mesh: World, prefix: str) -> list[str | None]:
    return [node.gateway(prefix) for node in mesh.nodes]


def expected(mesh: World, owner: int, version: int) -> list[str | None]:
    """Gateways when node `owner` holds a client: itself by wg0, the others by its fabric address."""
    own = "10.200.0.2" if version == 4 else "fd00:200::2"
    remote = fabric(mesh.nodes[owner], version)
    return [own if index == owner else remote for index in range(len(mesh.nodes))]


def off_edge(mesh: World, node: Node) -> bool:
    return node.spec.name not in mesh.at_edge(PREFIX4)


@BOTH
def test_client_route_is_in_every_kernel_and_known_to_every_agent(
    mesh: World, speakers: list[Speaker], index: int
) -> None:
    four, six, now = f"10.200.1.{index}/32", f"fd00:200::1:{index}/128", time.time()
    endpoint4, endpoint6 = "203.0.113.9:4500", "[2001:db8:200::9]:51820"
    speakers[index].tell(clients=[[four, endpoint4, now], [six, endpoint6, now]])
    wait_for("IPv4", lambda: gateways(mesh, four) == expected(mesh, index, 4), 3)
    wait_for("IPv6", lambda: gateways(mesh, six) == expected(mesh, index, 6), 3)
    owner = str(mesh.nodes[index].spec.loopbacks.v4)
    for other, speaker in enumerate(speakers):
        answer = speaker.ask(four, six)["others"]
        mine = other == index
        assert answer[four] == ([] if mine else [[owner, endpoint4, pytest.approx(now, abs=2e-6)]])
        assert answer[six] == ([] if mine else [[owner, endpoint6, pytest.approx(now, abs=2e-6)]])
    speakers[index].tell(withdraw=[four, six])
    wait_for("withdrawn", lambda: gateways(mesh, four) == [None] * 3, 3)
    wait_for("withdrawn", lambda: gateways(mesh, six) == [None] * 3, 3)


@pytest.mark.parametrize("address", ["10.200.0.77", "fd00:200::77"])
def test_packets_reach_another_nodes_client_and_come_back(
    mesh: World, speakers: list[Speaker], address: str
) -> None:
    prefix = f"{address}/{128 if ':' in address else 32}"
    add_address(mesh.client, "wg0x", prefix)
    speakers[BIRD].tell(clients=[[prefix, "203.0.113.9:4500", time.time()]])
    version = 6 if ":" in address else 4
    wait_for("routes", lambda: gateways(mesh, prefix) == expected(mesh, BIRD, version), 3)
    for node in mesh.nodes[1:]:
        assert " 0% packet loss" in node.space.run(f"ping -c 5 -i 0.05 -W 1 {address}")


def test_newest_handshake_wins_everywhere_by_a_microsecond(
    mesh: World, speakers: list[Speaker]
) -> None:
    prefix, second = "10.200.2.1/32", int(time.time())
    for micro, owner in enumerate((BIRD, FRR, THIRD, FRR, BIRD)):
        at = second + (micro + 1) * 1e-6
        speakers[owner].tell(clients=[[prefix, "203.0.113.9:4500", at]])
        wanted = expected(mesh, owner, 4)
        wait_for(f"node {owner} owns it", partial(routed_by, mesh, prefix, wanted), 3)
    loser = speakers[THIRD].ask(prefix)["others"][prefix]
    assert [owner for owner, _, _ in loser] == ["10.64.0.1"]


def test_older_handshake_changes_nothing(mesh: World, speakers: list[Speaker]) -> None:
    prefix, now = "10.200.2.2/32", time.time()
    speakers[FRR].tell(clients=[[prefix, "203.0.113.9:4500", now]])
    wait_for("owned", lambda: gateways(mesh, prefix) == expected(mesh, FRR, 4), 3)
    with mesh.nodes[THIRD].watched() as seen:
        speakers[BIRD].tell(clients=[[prefix, "203.0.113.9:4500", now - 1e-5]])
        time.sleep(0.5)
        assert not [line for line in seen() if "10.200.2.2" in line]
    assert gateways(mesh, prefix) == expected(mesh, FRR, 4)


@BOTH
def test_agent_restart_keeps_client_routes_and_withdraws_anycast(
    mesh: World, speakers: list[Speaker], index: int
) -> None:
    kept, lost = f"10.200.3.{index}/32", f"10.200.3.{100 + index}/32"
    node, route = mesh.nodes[index], ["203.0.113.9:4500", time.time()]
    speakers[index].tell(clients=[[kept, *route], [lost, *route]])
    wait_for("routes", lambda: gateways(mesh, lost) == expected(mesh, index, 4), 3)
    with mesh.nodes[THIRD].watched() as third, node.watched() as own:
        speakers[index].process.kill()
        wait_for("withdrawn at the edge", lambda: off_edge(mesh, node), 2, every=0.01)
        again = node.speak()
        wait_for("sessions", again.up, 15)
        again.tell(clients=[[kept, *route]])
        time.sleep(0.5)
        assert gateways(mesh, lost) == expected(mesh, index, 4)  # complete is not told yet
        again.tell(complete=True)
        wait_for("what is not repeated goes", lambda: gateways(mesh, lost) == [None] * 3, 3)
        assert gateways(mesh, kept) == expected(mesh, index, 4)
        assert not [line for line in [*third(), *own()] if kept.partition("/")[0] + " " in line]


@BOTH
def test_clean_stop_withdraws_anycast_and_keeps_client_routes(
    mesh: World, speakers: list[Speaker], index: int
) -> None:
    prefix, node = f"10.200.4.{index}/32", mesh.nodes[index]
    speakers[index].tell(clients=[[prefix, "203.0.113.9:4500", time.time()]])
    wait_for("route", lambda: gateways(mesh, prefix) == expected(mesh, index, 4), 3)
    speakers[index].tell(stop=True)
    assert speakers[index].process.wait(3) == 0
    wait_for("withdrawn at the edge", lambda: off_edge(mesh, node), 2, every=0.01)
    time.sleep(0.5)
    assert gateways(mesh, prefix) == expected(mesh, index, 4)


@BOTH
def test_hung_agent_is_withdrawn_within_the_hold_time(
    mesh: World, speakers: list[Speaker], index: int
) -> None:
    node, prefix = mesh.nodes[index], f"10.200.5.{index}/32"
    speakers[index].tell(clients=[[prefix, "203.0.113.9:4500", time.time()]])
    wait_for("route", lambda: gateways(mesh, prefix) == expected(mesh, index, 4), 3)
    speakers[index].signal(signal.SIGSTOP)
    wait_for("withdrawn at the edge", lambda: off_edge(mesh, node), 3.5, every=0.02)
    assert gateways(mesh, prefix) == expected(mesh, index, 4)
    own = str(node.spec.loopbacks.v4)
    for other in (speaker for speaker in speakers if speaker is not speakers[index]):
        wait_for("beacon gone", partial(unheard, other, own), 1)
    speakers[index].signal(signal.SIGCONT)
    wait_for("announced again", lambda: not off_edge(mesh, node), 10)


@BOTH
def test_demotion_is_seen_by_the_edge_and_by_the_other_agents(
    mesh: World, speakers: list[Speaker], index: int
) -> None:
    node = mesh.nodes[index]
    own, watcher = str(node.spec.loopbacks.v4), speakers[THIRD]
    for demoted, wanted in (
        (True, {"med": 1000, "gshut": True}),
        (False, {"med": 0, "gshut": False}),
    ):
        speakers[index].tell(anycast="demoted" if demoted else "up")
        for prefix in AGGREGATES:
            wait_for(
                f"{prefix} at the edge",
                partial(seen_at_edge, mesh, prefix, node.spec.name, wanted),
                3,
            )
        wait_for("beacon", partial(heard, watcher, own, demoted), 3)
    speakers[index].tell(anycast=None)
    wait_for("withdrawn at the edge", lambda: off_edge(mesh, node), 3)
    wait_for("beacon gone", lambda: own not in watcher.ask()["announcers"], 3)


@BOTH
def test_wireguard_device_gone_withdraws_the_node(
    mesh: World, speakers: list[Speaker], index: int
) -> None:
    node, prefix = mesh.nodes[index], f"10.200.6.{index}/32"
    speakers[index].tell(clients=[[prefix, "203.0.113.9:4500", time.time()]])
    wait_for("route", lambda: gateways(mesh, prefix) == expected(mesh, index, 4), 3)
    peer = node.space if index != BIRD else mesh.client
    node.space.run("ip link delete wg0")
    wait_for("withdrawn at the edge", lambda: off_edge(mesh, node), 2, every=0.01)
    wait_for("client route gone", lambda: gateways(mesh, prefix) == [None] * 3, 2, every=0.02)
    veth(node.space, "wg0", peer, "wg0x")
    for family in families(node.spec):
        add_address(node.space, "wg0", str(tunnel_gateway(family.pool)))
    wait_for("announced again", lambda: not off_edge(mesh, node), 5)
    wait_for("route again", lambda: gateways(mesh, prefix) == expected(mesh, index, 4), 5)


@pytest.mark.parametrize(("index", "program"), [(BIRD, "bird"), (FRR, "bgpd")], ids=["bird", "frr"])
def test_killed_daemon_is_withdrawn_and_comes_back(
    mesh: World, speakers: list[Speaker], index: int, program: str
) -> None:
    node, prefix = mesh.nodes[index], f"10.200.7.{index}/32"
    speakers[index].tell(clients=[[prefix, "203.0.113.9:4500", time.time()]])
    wait_for("route", lambda: gateways(mesh, prefix) == expected(mesh, index, 4), 3)
    os.kill(node.daemons.pid(program), signal.SIGKILL)
    wait_for("withdrawn at the edge", lambda: off_edge(mesh, node), 2, every=0.01)
    third = mesh.nodes[THIRD]
    wait_for("third node", lambda: third.gateway(prefix) is None, 2, every=0.02)
    node.load(mesh.peers_of(node))
    wait_for("announced again", lambda: not off_edge(mesh, node), 15)
    wait_for("route again", lambda: gateways(mesh, prefix) == expected(mesh, index, 4), 15)
    wait_for("all sessions", mesh.settled, 30)


@pytest.mark.parametrize(
    ("index", "program", "limit"), [(BIRD, "bird", 1.0), (FRR, "bgpd", 4.0)], ids=["bird", "frr"]
)
def test_hung_daemon_is_withdrawn_and_comes_back(
    mesh: World, speakers: list[Speaker], index: int, program: str, limit: float
) -> None:
    """BIRD's BFD hangs with it; bgpd is found out by its hold time."""
    node, pid = mesh.nodes[index], mesh.nodes[index].daemons.pid(program)
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for("withdrawn at the edge", lambda: off_edge(mesh, node), limit, every=0.01)
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for("announced again", lambda: not off_edge(mesh, node), 15)
    wait_for("all sessions", mesh.settled, 30)


def test_dead_node_takes_its_client_routes_along(mesh: World, speakers: list[Speaker]) -> None:
    prefix, node = "10.200.8.1/32", mesh.nodes[FRR]
    speakers[FRR].tell(clients=[[prefix, "203.0.113.9:4500", time.time()]])
    wait_for("route", lambda: gateways(mesh, prefix) == expected(mesh, FRR, 4), 3)
    # Not the link, which everybody would notice: packets just stop.
    node.space.run("tc qdisc add dev up0 root tbf rate 8bit burst 1 limit 1")
    try:
        wait_for("withdrawn at the edge", lambda: off_edge(mesh, node), 2, every=0.01)
        third = mesh.nodes[THIRD]
        wait_for("third node", lambda: third.gateway(prefix) is None, 2.5, every=0.02)
    finally:
        node.space.run("tc qdisc delete dev up0 root")
    wait_for("all sessions", mesh.settled, 30)
    wait_for("route again", lambda: gateways(mesh, prefix) == expected(mesh, FRR, 4), 5)


def test_nothing_leaks(mesh: World, speakers: list[Speaker]) -> None:
    for index, speaker in enumerate(speakers):
        route = ["203.0.113.9:4500", time.time()]
        speaker.tell(
            clients=[[f"10.200.9.{index}/32", *route], [f"fd00:200::9:{index}/128", *route]]
        )
    wait_for("routes", lambda: gateways(mesh, "10.200.9.1/32") == expected(mesh, FRR, 4), 3)
    at_edge = {
        line.split()[0]
        for line in birdc(mesh.edge_socket, "show route where source = RTS_BGP").splitlines()
        if "/" in line.split(" ")[0]
    }
    loopbacks = {f"10.64.0.{n}/32" for n in (1, 2, 3)} | {f"fd00:64::{n}/128" for n in (1, 2, 3)}
    assert at_edge == loopbacks | set(AGGREGATES)
    for node in mesh.nodes:
        kernel = run(f"ip -n {node.space.name} route") + run(f"ip -6 -n {node.space.name} route")
        installed = {line.split()[0] for line in kernel.splitlines() if "proto b" in line}
        assert not installed & {*AGGREGATES, "100::a40:1", "100::a40:2", "100::a40:3"}
        assert "default" in installed


@BOTH
def test_loading_another_peer_list_disturbs_no_session(
    mesh: World, speakers: list[Speaker], index: int
) -> None:
    node, prefix = mesh.nodes[index], f"10.200.10.{index}/32"
    speakers[index].tell(clients=[[prefix, "203.0.113.9:4500", time.time()]])
    wait_for("route", lambda: gateways(mesh, prefix) == expected(mesh, index, 4), 3)
    peers = mesh.peers_of(node)
    leaver = next(peer for peer in peers if peer.name != mesh.nodes[THIRD].spec.name)
    with mesh.nodes[THIRD].watched() as seen:
        assert node.load([peer for peer in peers if peer is not leaver])
        wait_for("fewer peerings", lambda: f"peer-{leaver.name}" not in names(node), 5)
        assert node.load(peers)
        assert not node.load(peers)
        wait_for("all sessions", mesh.settled, 30)
        assert not [line for line in seen() if prefix.partition("/")[0] in line]
    assert node.spec.name in mesh.at_edge(PREFIX4)
    assert speakers[index].up()


def names(node: Node) -> set[str]:
    return {peering.name for peering in asyncio.run(node.driver.state()).peerings}


def test_bulk_of_routes_arrives_while_the_sessions_stay(
    mesh: World, speakers: list[Speaker]
) -> None:
    count, third = 10_000, mesh.nodes[THIRD]
    before = third.count("fabric0")
    speakers[BIRD].tell(bulk=[65_536, count])
    wait_for("kernel", lambda: third.count("fabric0") >= before + count, 60, every=0.2)
    wait_for("agent", lambda: speakers[FRR].ask()["learned"] >= count, 60, every=0.2)
    wait_for("sessions", lambda: all(speaker.up() for speaker in speakers), 10)
    wait_for("the edge has every node", lambda: len(mesh.at_edge(PREFIX4)) == 3, 10)
