"""Drain, resume and stop of whole agents: real daemons, control plane and client."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from anycastle.agent import cache
from anycastle.agent.draining import STOP_LIMIT
from anycastle.agent.health.machine import DRAIN_WAIT
from tests.support.agent_world import ROOT, Node, World, world
from tests.support.postgres import cluster
from tests.support.waiting import wait_for

BOTH = {"node-1": False, "node-2": False}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with cluster() as postgres, world(tmp_path_factory.mktemp("drains"), postgres) as made:
        made.all_up()
        body = {"name": "laptop", "public_key": made.client.public.text}
        status, answer = made.call("POST", "/v1/clients", body)
        assert status == 201, answer
        made.client.addresses = answer["client"]["addresses"]
        made.client.connect(answer["connection"], made.paper.directory)
        yield made


@pytest.fixture
def up(made: World) -> Iterator[World]:
    made.all_up()
    reconnect(made)
    yield made
    if made.api is None or made.api.poll() is not None:
        made.start_api()
    for node in made.nodes:
        assert made.call("POST", f"/v1/nodes/{node.spec.name}/resume")[0] == 200


def reconnect(world: World) -> None:
    """As if the client were switched off and on: it begins a session wherever routing leads."""
    _, connection = world.call("GET", "/v1/connection")
    key = connection["service_public_key"]
    world.client.space.run(f"wg set {world.client.device} peer {key} remove")
    world.client.connect(connection, world.paper.directory)
    wait_for("the client reaches the service", world.client.ping, 30)


def owner(world: World) -> Node:
    """The node that owns the one client's session, once that is clear."""

    def owners() -> list[Node]:
        found = [node for node in world.nodes if node.status()["sessions"]]
        return found if len(found) == 1 else []

    return wait_for("one node owns the client", owners, 10)[0]


def other(world: World, node: Node) -> Node:
    return next(one for one in world.nodes if one is not node)


def drain(world: World, node: Node, **body: object) -> tuple[int, Any]:
    return world.call("POST", f"/v1/nodes/{node.spec.name}/drain", body)


def resume(world: World, node: Node) -> None:
    assert world.call("POST", f"/v1/nodes/{node.spec.name}/resume")[0] == 200


def seen(world: World, node: Node) -> Any:
    """The order as the API shows it."""
    return world.call("GET", f"/v1/nodes/{node.spec.name}")[1]["drain"]


def wait_phase(world: World, node: Node, phase: str, timeout: float = 10.0) -> None:
    what = f"{node.spec.name} is {phase}"
    wait_for(what, lambda: (seen(world, node) or {}).get("phase") == phase, timeout)


def messages(world: World, node: Node, kind: str) -> list[str]:
    _, events = world.call("GET", "/v1/events?limit=1000")
    return [e["message"] for e in events if (e["kind"], e["node"]) == (kind, node.spec.name)]


@contextmanager
def unplugged(world: World) -> Iterator[None]:
    """The client hears and says nothing: its session stays where it is."""
    space = world.client.space
    space.run("ip link set eth0 down")
    try:
        yield
    finally:
        space.run("ip link set eth0 up")
        space.run("ip route replace default via 192.168.1.1")


def only(node: Node) -> dict[str, bool]:
    return {node.spec.name: False}


def stays(world: World, wanted: dict[str, bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert world.announced() == wanted
        time.sleep(0.2)


def test_a_drain_demotes_withdraws_serves_on_and_is_told_when_it_is_done(up: World) -> None:
    node = owner(up)
    successor = other(up, node)
    told = len(messages(up, node, "node.drained"))
    status, body = drain(up, node, reason="new disk")
    assert status == 200, body
    up.until_announced({node.spec.name: True, successor.spec.name: False}, 5)
    up.until_announced(only(successor), 5)
    assert node.status()["reason"].startswith("asked to drain: new disk")
    reconnect(up)
    assert owner(up) is successor
    wait_phase(up, node, "drained")
    wait_for("it is told", lambda: len(messages(up, node, "node.drained")) == told + 1, 10)
    resume(up, node)
    # Three good rounds at most, and no hold-down.
    up.until_announced(BOTH, 10)
    assert node.state() == "UP"
    assert owner(up) is successor, "a resumed node pulls nobody over"


def test_a_restart_in_the_middle_of_a_drain_goes_on_with_it(up: World) -> None:
    node = owner(up)
    successor = other(up, node)
    assert drain(up, node)[0] == 200
    up.until_announced(only(successor), 10)
    time.sleep(2)  # until the order is on disk
    since = seen(up, node)["since"]
    up.stop_api()
    node.kill()
    node.start()
    node.wait_state("DRAINING")
    stays(up, only(successor), 6)
    up.start_api()
    wait_for("it reports again", lambda: (seen(up, node) or {}).get("phase"), 20)
    assert seen(up, node)["since"] == since
    assert seen(up, node)["ready"]
    reconnect(up)
    wait_phase(up, node, "drained")
    resume(up, node)
    up.until_announced(BOTH, 15)


def test_a_deadline_ends_the_waiting_and_not_the_drain(up: World) -> None:
    node = owner(up)
    with unplugged(up):
        assert drain(up, node, deadline_seconds=3)[0] == 200
        wait_phase(up, node, "overdue")
    assert "the deadline passed" in messages(up, node, "node.drained")[-1]
    assert "sessions left: 1" in messages(up, node, "node.drained")[-1]
    stays(up, only(other(up, node)), 2)
    assert node.state() == "DRAINING"


def test_the_last_node_is_refused_and_can_be_forced(up: World) -> None:
    one, two = up.nodes
    assert drain(up, one)[0] == 200
    status, body = drain(up, two)
    assert (status, body["error"]["code"]) == (409, "last_node")
    assert "node-1: asked to drain" in body["error"]["message"]
    up.until_announced(only(two), 10)
    assert drain(up, two, force=True)[0] == 200
    # The forced one leaves; the other is on stand-by, and comes back as the last choice.
    up.until_announced({one.spec.name: True}, 15)
    resume(up, two)
    up.until_announced(only(two), 15)


def test_a_drained_node_stands_in_when_the_others_die(up: World) -> None:
    one, two = up.nodes
    assert drain(up, one)[0] == 200
    up.until_announced(only(two), 10)
    two.kill()
    up.until_announced({one.spec.name: True}, 15)
    assert one.state() == "DRAINING"
    two.start()
    up.until_announced(only(two), 30)


def test_a_drained_node_is_ready_as_asked(up: World) -> None:
    node = up.nodes[0]
    assert drain(up, node, reason="new disk")[0] == 200
    up.until_announced(only(other(up, node)), 10)
    command = ["--settings", str(node.folder / "etc"), "wait-ready", "--timeout", "20"]
    inside = ["ip", "netns", "exec", node.space.name]
    done = subprocess.run(
        [*inside, sys.executable, "-m", "anycastle.agent.main", *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT / "runtime")},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("DRAINING as asked (asked to drain: new disk")
    assert node.get("/readyz")[0] == 503, "load balancers must not send to it"


def test_a_stop_waits_for_the_sessions_to_move(up: World) -> None:
    node = owner(up)
    began = time.monotonic()
    node.signal(signal.SIGTERM)
    up.until_announced(only(other(up, node)), 5)
    reconnect(up)
    assert node.wait(30) == 0
    assert time.monotonic() - began < DRAIN_WAIT + STOP_LIMIT, "it did not wait for the limit"


def test_a_stop_is_bounded_and_a_second_signal_ends_it_at_once(up: World) -> None:
    node = owner(up)
    with unplugged(up):
        began = time.monotonic()
        node.signal(signal.SIGTERM)
        assert node.wait(40) == 0
        assert time.monotonic() - began >= STOP_LIMIT
        node.start()
        node.wait_state("UP")
        assert owner(up) is node, "nobody took the session over"
        began = time.monotonic()
        node.signal(signal.SIGTERM)
        time.sleep(0.2)
        node.signal(signal.SIGTERM)
        assert node.wait(40) == 0
        assert time.monotonic() - began < STOP_LIMIT


def test_a_stop_of_the_last_node_does_not_wait_for_nobody(up: World) -> None:
    node = owner(up)
    other(up, node).kill()
    up.until_announced(only(node), 5)
    began = time.monotonic()
    node.signal(signal.SIGTERM)
    assert node.wait(40) == 0
    assert time.monotonic() - began < STOP_LIMIT


def test_the_state_file_of_an_older_version_is_good(up: World) -> None:
    """One that knew no orders; the control plane is away."""
    node = up.nodes[0]
    node.signal(signal.SIGTERM)
    node.wait(40)
    path = Path(node.folder / "var" / "snapshot")
    document = msgspec.msgpack.decode(path.read_bytes()[40:])
    del document["nodes"]
    old = msgspec.msgpack.encode(document)
    path.write_bytes(cache.MAGIC + hashlib.sha256(old).digest() + old)
    up.stop_api()
    node.start()
    up.until_announced(BOTH, 20)
