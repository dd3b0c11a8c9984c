"""What a takeover tells: `anycastle events --follow`, `status`, and the metrics. Needs root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.agent_world import CONTROL_PORT, ROOT, World
from tests.support.postgres import cluster
from tests.support.steered_world import SteeredWorld, data_packet, spoof, steered_world
from tests.support.waiting import wait_for

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root"),
    pytest.mark.timeout(300),
]

SOON = 20.0


class Follower:
    """`anycastle events --follow --json`, as an operator runs it."""

    def __init__(self, world: World, folder: Path) -> None:
        self._lines = folder / "events"
        with self._lines.open("wb") as sink:
            self._process = subprocess.Popen(
                command(world, "events", "--follow", "--json"),
                stdout=sink,
                env=environment(world),
                cwd=ROOT,
            )

    def tells(self, kind: str, about: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first such event, once it is there."""

        def found() -> list[dict[str, Any]]:
            lines = self._lines.read_text().splitlines(keepends=True)
            events = [json.loads(line) for line in lines if line.endswith("\n")]
            return [event for event in events if event["kind"] == kind and about(event)]

        return wait_for(f"{kind} is told", found, SOON)[0]

    def end(self) -> None:
        self._process.terminate()
        self._process.wait(10)


def command(world: World, *words: str) -> list[str]:
    inside = ["ip", "netns", "exec", world.edge.name]
    return [*inside, sys.executable, "-m", "anycastle.cli", *words]


def environment(world: World) -> dict[str, str]:
    return os.environ | {
        "ANYCASTLE_URL": f"https://127.0.0.1:{CONTROL_PORT}",
        "ANYCASTLE_TOKEN": world.token,
        "ANYCASTLE_CA": world.paper.spec.ca_certificate_file,
        "PYTHONPATH": str(ROOT / "runtime"),
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SteeredWorld]:
    folder = tmp_path_factory.mktemp("story")
    with cluster() as postgres, steered_world(folder, postgres) as made:
        yield made


@pytest.fixture
def up(made: SteeredWorld) -> SteeredWorld:
    made.settle()
    return made


@pytest.fixture
def follower(up: SteeredWorld, tmp_path: Path) -> Iterator[Follower]:
    follower = Follower(up.world, tmp_path)
    try:
        yield follower
    finally:
        follower.end()


def test_a_drain_from_the_order_to_the_last_session(up: SteeredWorld, follower: Follower) -> None:
    (client, _) = up.clients
    drained = up.owner(client)
    name = drained.spec.name
    with up.pinging(client, interval=0.1):
        assert up.world.call("POST", f"/v1/nodes/{name}/drain", {"deadline_seconds": 60})[0] == 200
        try:
            for kind in ("node.demoted", "node.withdrawn", "node.drained"):
                follower.tells(kind, lambda event: event["node"] == name)
            took = follower.tells("takeover.confirmed", lambda event: event["client"] == "client-1")
            lost = follower.tells("session.lost", lambda event: event["node"] == name)
        finally:
            up.world.call("POST", f"/v1/nodes/{name}/resume")
    assert took["node"] != name
    assert "took over" in took["message"]
    assert took["data"]["owner"] == str(drained.spec.loopbacks.v4)
    assert took["data"]["seconds"] >= 0
    assert "moved to" in lost["message"]
    heir = next(node for node in up.nodes if node.spec.name == took["node"])
    assert up.metric(heir, "takeover_seconds_count", 'result="confirmed"') >= 1
    assert up.metric(heir, "takeover_results_total", 'result="confirmed"') >= 1


def test_a_takeover_that_was_given_up_says_why(up: SteeredWorld, follower: Follower) -> None:
    (client, _) = up.clients
    up.steer(up.nodes[0])
    client.begin()
    wait_for("the client reaches the service", client.ping, 30)
    assert up.owner(client) is up.nodes[0]
    target, endpoint = up.nodes[2], client.endpoint()
    time.sleep(6.0)  # who lost a client a moment ago does not take it back
    before = up.metric(target, "takeover_seconds_count", 'result="gave_up"')
    client.freeze()
    try:
        spoof(up.world, endpoint, target, [data_packet(1)])
        event = follower.tells("takeover.gave_up", lambda one: one["node"] == target.spec.name)
    finally:
        client.thaw()
    assert event["message"] == "client-1: not taken over: no answer, no more packets"
    assert event["data"]["reason"] == "no answer, no more packets"
    assert 4.0 < event["data"]["seconds"] < 10.0
    assert up.metric(target, "takeover_seconds_count", 'result="gave_up"') == before + 1


def test_status_shows_the_packet_path(up: SteeredWorld) -> None:
    def paths() -> dict[str, str]:
        done = subprocess.run(
            command(up.world, "status", "--json"),
            env=environment(up.world),
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        return {node["name"]: node["takeover"] for node in json.loads(done.stdout)["nodes"]}

    wanted = {node.spec.name: "bpf" for node in up.nodes}
    wait_for("every node's path is shown", lambda: paths() == wanted, SOON)
