"""Nodes leave service and come back: by order, by `systemctl stop`, by a host's shutdown.

That a drain loses nothing of TCP either is in `test_takeover`; here is who decides it, what it
survives, and what ends it. Limits tell a working feature from a broken one.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import sessions, traffic
from tests.support.lab import Lab
from tests.support.traffic import Ping
from tests.support.waiting import wait_for, wait_quiet
from tools.measure.probing import probing

BACK = 90.0
WITHDRAWN = 15.0


@pytest.fixture(autouse=True)
def resumed(lab: Lab) -> Iterator[None]:
    """No order stands afterwards."""
    yield
    for node in lab.nodes:
        assert lab.cli("node", "resume", node).returncode == 0
    lab.serve(BACK)


def in_service(lab: Lab, node: str) -> bool:
    return node in lab.announcers(lab.datacentre_of(node).name)


def wait_withdrawn(lab: Lab, node: str) -> None:
    wait_for(f"{node} withdrawn", lambda: not in_service(lab, node), WITHDRAWN, every=0.05)


@contextmanager
def clients_undisturbed(lab: Lab, node: str) -> Iterator[None]:
    """The node's clients ping their own datacentre's service and lose nothing."""
    sessions.bring_client(lab, node)
    pings = [
        Ping(lab.netns(name), lab.service(lab.home(name).name).v4, name=name)
        for name in sessions.served_by(lab, node)
    ]
    assert pings
    with traffic.running(pings):
        time.sleep(1)
        yield
        time.sleep(1)
        traffic.assert_lossless(traffic.stop_all(pings))


def kinds(lab: Lab, node: str) -> list[str]:
    lines = lab.cli("events", "--limit", "500", "--json").stdout.decode().splitlines()
    return [event["kind"] for event in map(json.loads, lines) if event["node"] == node]


@pytest.mark.parametrize("node", ["ams-2", "fra-2"])
def test_a_drain_is_shown_until_it_is_done_and_told_in_events(lab: Lab, node: str) -> None:
    sessions.bring_client(lab, node)
    done = lab.cli(
        "node", "drain", node, "--wait", "--deadline", "50s", "--reason", "disk", "--json"
    )
    assert done.returncode == 0, done.stderr.decode()
    lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
    assert lines[-1]["done"]
    assert (lines[-1]["phase"], lines[-1]["sessions"]) == ("drained", 0)
    assert lines[-1]["announcing"] is False
    wanted = {"node.drain_asked", "node.demoted", "node.withdrawn", "node.drained"}
    wait_for(f"{wanted} in the events", lambda: wanted <= set(kinds(lab, node)), 10)
    assert "disk" in lab.cli("node", "show", node).stdout.decode()
    done = lab.cli("node", "resume", node, "--wait")
    assert done.returncode == 0, done.stderr.decode()
    assert in_service(lab, node)


def test_every_node_in_turn(lab: Lab) -> None:
    """A rolling maintenance under traffic of all clients: nobody loses a packet."""
    for node in lab.nodes:
        sessions.bring_client(lab, node)
    with probing(sessions.streams(lab, rate=50)) as probe:
        silent = probe.answering(lab.clients, 20)
        assert not silent, silent
        began = time.time()
        for node in lab.nodes:
            drained, resumed = (
                _said(lab, "node", verb, node, "--wait") for verb in ("drain", "resume")
            )
            assert drained[-1] == f"{node}: drained, no session left", drained
            assert resumed[-1] == f"{node}: UP, announcing", resumed
        bad = [str(each) for each in probe.summaries(began).values() if each.lost or each.gap > 1]
        assert not bad, "\n".join(bad)
        wait_quiet("one owner each", lambda: sessions.disputed(lab), 15, every=0.5)


def _said(lab: Lab, *arguments: str) -> list[str]:
    done = lab.cli(*arguments)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().splitlines()


def test_a_restart_without_control_plane_goes_on_with_the_drain(lab: Lab) -> None:
    node = "fra-1"
    assert lab.cli("node", "drain", node).returncode == 0
    wait_withdrawn(lab, node)
    time.sleep(2)  # until the order is on the node's disk
    lab.run("control", "systemctl", "stop", "anycastle-control")
    try:
        lab.run(node, "systemctl", "kill", "--signal=KILL", "anycastle-agent")
        wait_for(
            "the agent is back",
            lambda: (report := lab.report(node)) and report.state == "DRAINING",
            30,
        )
        end = time.monotonic() + 8
        while time.monotonic() < end:
            assert not in_service(lab, node)
            time.sleep(0.2)
        # What `pulumi up` waits for.
        shown = lab.run(node, "anycastle-agent", "wait-ready", "--timeout", "30", timeout=60)
        assert shown.startswith("DRAINING as asked")
    finally:
        lab.run("control", "systemctl", "start", "anycastle-control")
    wait_for("the order is known again", lambda: _asked(lab, node), 30)
    assert lab.cli("node", "resume", node, "--wait").returncode == 0


def _asked(lab: Lab, node: str) -> bool:
    done = lab.cli("node", "show", node, "--json")
    return done.returncode == 0 and json.loads(done.stdout)["drain"] is not None


def test_the_last_node_is_refused(lab: Lab) -> None:
    *others, last = lab.nodes
    for node in others:
        assert lab.cli("node", "drain", node).returncode == 0
        wait_withdrawn(lab, node)
    done = lab.cli("node", "drain", last, "--wait")
    assert done.returncode == 1
    assert "asked to drain" in done.stderr.decode()
    assert in_service(lab, last)


def test_a_drained_node_stands_in_for_a_dead_one(lab: Lab) -> None:
    """All others of the deployment die; it is announced as the last choice until they return."""
    stand_in, *others = lab.nodes
    assert lab.cli("node", "drain", stand_in).returncode == 0
    wait_withdrawn(lab, stand_in)
    lab.on_all(others, "systemctl", "kill", "--signal=STOP", "anycastle-agent")
    try:
        wait_for("it is announced", lambda: in_service(lab, stand_in), 30, every=0.2)
        report = lab.report(stand_in)
        assert report is not None
        assert report.state == "DRAINING"
    finally:
        lab.on_all(others, "systemctl", "kill", "--signal=CONT", "anycastle-agent")
    wait_for("it is withdrawn again", lambda: not in_service(lab, stand_in), BACK, every=0.2)


def test_systemctl_stop_loses_nothing(lab: Lab) -> None:
    node = "ams-1"
    with clients_undisturbed(lab, node):
        began = time.monotonic()
        lab.run(node, "systemctl", "stop", "anycastle-agent", timeout=60)
        took = time.monotonic() - began
        assert took < 25, f"a stop took {took:.1f} s"
    lab.run(node, "systemctl", "start", "anycastle-agent")
    print(f"stopped within {took:.1f} s")


def test_an_orderly_shutdown_of_the_host_loses_nothing(lab: Lab) -> None:
    """The agent leaves service while daemon, WireGuard and network are still there."""
    node = "ams-1"
    with clients_undisturbed(lab, node):
        lab.run(node, "systemctl", "poweroff", check=False)
        wait_withdrawn(lab, node)
        wait_for("the host is off", lambda: not sessions.running(lab, node), 60, every=0.5)
    sessions.start(lab, node)
    lab.serve(BACK)
