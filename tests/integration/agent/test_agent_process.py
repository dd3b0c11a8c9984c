"""The whole agent on real parts: wireguard-go, BIRD, an edge router, the control plane."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.support.agent_site import Client
from tests.support.agent_world import Node, World, world
from tests.support.namespaces import run
from tests.support.postgres import cluster
from tests.support.waiting import wait_for

BOTH = {"node-1": False, "node-2": False}
SECOND = {"node-2": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with cluster() as postgres, world(tmp_path_factory.mktemp("agents"), postgres) as made:
        made.all_up()
        made.enrol(made.client, "laptop")
        yield made


@pytest.fixture
def up(made: World) -> World:
    made.all_up()
    wait_for("the client reaches the service", made.client.ping, 30)
    return made


def owner(world: World) -> Node:
    """The node that owns the one client's session, once that is clear."""

    def owners() -> list[Node]:
        found = [node for node in world.nodes if node.status()["sessions"]]
        return found if len(found) == 1 else []

    return wait_for("one node owns the client", owners, 5)[0]


def goes_over(node: Node, address: str, device: str) -> bool:
    return f"dev {device} " in run(f"ip -n {node.space.name} route get {address}")


def peers(node: Node) -> set[str]:
    return set(node.space.run(f"wg show {node.spec.wireguard.device} peers").split())


def has_peer(node: Node, key: str) -> bool:
    return key in peers(node)


def lacks_peer(node: Node, key: str) -> bool:
    return not has_peer(node, key)


def device_exists(node: Node) -> bool:
    shown = run(f"ip -n {node.space.name} link show {node.spec.wireguard.device}", check=False)
    return bool(shown)


def lost_during(client: Client, count: int) -> int:
    """Pings lost out of `count`, ten a second."""
    shown = client.space.run(f"ping -q -c {count} -i 0.1 -W 1 10.200.0.1", check=False)
    return count - int(shown.partition(" received")[0].split()[-1])


def test_nodes_serve_a_client_behind_nat(up: World) -> None:
    assert up.client.ping("10.200.0.1", 5)
    assert up.client.ping("fd00:200::1", 5)
    node = owner(up)
    (session,) = node.status()["sessions"]
    assert session["endpoint"].startswith("203.0.113.1:")
    assert abs(session["latest_handshake"] - time.time()) < 180
    _, client = up.call("GET", "/v1/clients/laptop")
    assert client["owner"] == node.spec.name


def test_every_node_routes_to_the_client(up: World) -> None:
    node = owner(up)
    for other in up.nodes:
        device = node.spec.wireguard.device if other is node else node.spec.fabric.device
        for address in up.client.addresses:
            what = f"{other.spec.name} reaches {address} over {device}"
            wait_for(what, partial(goes_over, other, address, device), 5)


def test_http(up: World) -> None:
    node = up.nodes[0]
    assert node.get("/healthz") == (200, b"ok\n")
    status, body = node.get("/readyz")
    assert (status, json.loads(body)["ready"]) == (200, True)
    _, metrics = node.get("/metrics")
    for line in (
        'anycastle_state{state="UP"} 1.0',
        "anycastle_announced 1.0",
        'anycastle_bgp_session_up{session="anycast"} 1.0',
        'anycastle_announcers{demoted="no"} 1.0',
        'anycastle_probe_healthy{probe="device"} 1.0',
        "anycastle_feed_connected 1.0",
    ):
        assert line in metrics.decode()


def test_a_change_of_the_feed_reaches_the_kernel(up: World) -> None:
    key = run("wg genkey").strip()
    started = time.monotonic()
    status, body = up.call("POST", "/v1/clients", {"name": "phone", "public_key": key})
    assert status == 201, body
    for node in up.nodes:
        wait_for("the peer", partial(has_peer, node, key), 1, 0.01)
    assert time.monotonic() - started < 1
    assert up.call("DELETE", "/v1/clients/phone")[0] == 200
    for node in up.nodes:
        wait_for("the peer's end", partial(lacks_peer, node, key), 1, 0.01)


def test_a_killed_agent_is_withdrawn_within_a_second_and_comes_back(up: World) -> None:
    node = up.nodes[0]
    node.kill()
    assert up.until_announced(SECOND, 2) < 1
    assert device_exists(node), "the data path does not die with the agent"
    node.start()
    up.until_announced(BOTH, 20)
    assert node.state() == "UP"


def test_a_restarted_agent_keeps_its_sessions(up: World) -> None:
    node = owner(up)
    (before,) = node.status()["sessions"]
    node.signal(signal.SIGTERM)
    assert node.wait() == 0
    node.start()
    node.wait_state("UP")
    if sessions := node.status()["sessions"]:
        # Nothing else has happened to the session than an agent that looked away.
        assert sessions[0]["latest_handshake"] >= before["latest_handshake"]
    wait_for("the client reaches the service", up.client.ping, 30)


def test_a_hung_agent_is_withdrawn_and_comes_back(up: World) -> None:
    node = up.nodes[0]
    node.signal(signal.SIGSTOP)
    # BGP's least hold time is three seconds.
    assert up.until_announced(SECOND, 6) < 5
    node.signal(signal.SIGCONT)
    up.until_announced(BOTH, 20)
    assert node.state() == "UP"


def test_a_node_without_its_device_withdraws_and_comes_back(up: World) -> None:
    node = up.nodes[0]
    run(f"ip -n {node.space.name} link delete {node.spec.wireguard.device}")
    assert up.until_announced(SECOND, 3) < 1.5
    up.until_announced(BOTH, 25)
    assert device_exists(node)
    assert node.state() == "UP"
    assert "node.withdrawn" in node.log()


def test_what_somebody_took_away_is_put_back_at_once(up: World) -> None:
    node = up.nodes[0]
    run(f"ip -n {node.space.name} address delete 192.0.2.1/32 dev lo")
    wait_for("the address", lambda: "192.0.2.1" in run(f"ip -n {node.space.name} address"), 3)
    mark = node.spec.wireguard.fwmark
    run(f"ip -n {node.space.name} rule delete fwmark {mark}")
    wait_for("the rule", lambda: f"{mark:#x}" in run(f"ip -n {node.space.name} rule"), 3)
    assert up.announced() == BOTH


def test_a_killed_daemon_withdraws_the_node_and_comes_back(up: World) -> None:
    node = up.nodes[0]
    node.bird.kill(signal.SIGKILL)
    assert up.until_announced(SECOND, 3) < 1.5
    wait_for("the node knows", lambda: node.state() == "DOWN", 5)
    up.until_announced(BOTH, 25)
    assert node.state() == "UP"


def test_a_stopped_agent_demotes_withdraws_and_leaves_the_data_path(up: World) -> None:
    node = up.nodes[0]
    node.signal(signal.SIGTERM)
    up.until_announced({"node-1": True, "node-2": False}, 1)
    up.until_announced(SECOND, 3)
    assert node.wait() == 0
    assert device_exists(node)
    assert "192.0.2.1" in run(f"ip -n {node.space.name} address show lo")


def test_nodes_work_without_the_control_plane(up: World) -> None:
    up.stop_api()
    node = up.nodes[0]
    node.kill()
    node.start()
    up.until_announced(BOTH, 20)
    wait_for("the client reaches the service", up.client.ping, 30)
    # It may move back to the node meanwhile.
    wait_for("no ping is lost any more", lambda: lost_during(up.client, 20) == 0, 30)
    assert not up.nodes[0].status()["reason"]
    up.start_api()
    key = run("wg genkey").strip()
    assert up.call("POST", "/v1/clients", {"name": "late", "public_key": key})[0] == 201
    wait_for("the change", partial(has_peer, node, key), 30)


def test_a_damaged_state_file_is_told_of_and_does_no_harm(up: World) -> None:
    node = up.nodes[0]
    up.stop_api()
    node.signal(signal.SIGTERM)
    node.wait()
    snapshot = node.folder / "var" / "snapshot"
    data = bytearray(snapshot.read_bytes())
    data[-1] ^= 0xFF
    snapshot.write_bytes(data)
    before = peers(node)
    node.start()
    wait_for("the agent says why", lambda: "no snapshot" in node.status()["reason"], 10)
    assert "checksum is wrong" in node.log()
    time.sleep(3)
    assert up.announced() == SECOND, "without a snapshot a node must not announce"
    assert peers(node) == before
    up.start_api()
    up.until_announced(BOTH, 30)


def test_bad_settings_are_refused_and_the_old_ones_stay(up: World) -> None:
    node = up.nodes[0]
    path = node.folder / "etc" / "node.json"
    good = path.read_text()
    bad = json.loads(good)
    bad["edges"][0]["asn"] = "many"
    path.write_text(json.dumps(bad))
    try:
        node.signal(signal.SIGHUP)
        wait_for("the refusal", lambda: "settings.refused" in node.log(), 5)
    finally:
        path.write_text(good)
    assert "edges[0].asn" in node.log()
    assert up.announced() == BOTH
    assert node.state() == "UP"


def test_a_new_peer_is_taken_over_without_dropping_a_session(up: World) -> None:
    node = up.nodes[0]
    path = node.folder / "etc" / "peers.json"
    before = path.read_text()
    (old,) = json.loads(before)
    new = old | {"name": "node-9", "loopbacks": {"v4": "10.64.0.9", "v6": "fd00:64::9"}}
    path.write_text(json.dumps([old, new]))
    try:
        node.signal(signal.SIGHUP)
        wait_for(
            "BIRD knows the peer",
            lambda: "peer-node-9" in (node.folder / "bird.conf").read_text(),
            10,
        )
        time.sleep(1)
        assert up.announced() == BOTH
        assert node.state() == "UP"
    finally:
        path.write_text(before)
        node.signal(signal.SIGHUP)


def test_a_cause_that_all_share_does_not_withdraw_the_last(up: World) -> None:
    away = []
    for node in up.nodes:
        directory = node.folder / "var"
        away.append((directory.rename(node.folder / "var-away"), directory))
    try:
        for node in up.nodes:
            node.wait_state("DEMOTED", 20)
        up.until_announced({"node-1": True, "node-2": True}, 3)
        time.sleep(12)  # longer than a soft failure's patience
        assert up.announced(), "somebody has to serve"
        assert "disk" in up.nodes[0].status()["reason"]
        assert up.client.ping(count=3)
    finally:
        for path, back in away:
            path.rename(back)
    up.until_announced(BOTH, 40)


def test_a_node_that_fails_alone_ends_withdrawn(up: World) -> None:
    node = up.nodes[0]
    away = (node.folder / "var").rename(node.folder / "var-away")
    try:
        up.until_announced({"node-1": True, "node-2": False}, 20)
        up.until_announced(SECOND, 15)
        assert node.state() == "DOWN"
    finally:
        away.rename(Path(node.folder / "var"))
    up.until_announced(BOTH, 40)
