"""A client added works on every node within a second, one removed is cut off as fast;
ten others ping meanwhile and lose nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from anycastle.model.api import ClientView
from tests.support import traffic
from tests.support.lab import Lab
from tests.support.traffic import Ping
from tests.support.waiting import wait_for

DEVICE = "extra0"
HOST = "site2-c1"


@contextmanager
def ten_pinging(lab: Lab) -> Iterator[None]:
    clients = [c for c in lab.clients if c != HOST][:10]
    assert len(clients) == 10
    pings = [
        Ping(lab.netns(c), lab.service(lab.home(c).name).v4, interval=0.02, name=c) for c in clients
    ]
    with traffic.running(pings):
        yield
        traffic.assert_lossless(traffic.stop_all(pings))


@pytest.fixture
def leftovers(lab: Lab) -> Iterator[list[str]]:
    """Clients that the test enrolled; removed afterwards."""
    names: list[str] = []
    yield names
    for name in names:
        lab.cli("client", "remove", name, "--yes")
    lab.run(HOST, "ip", "link", "delete", DEVICE, check=False)


def holders(lab: Lab, public_key: str) -> set[str]:
    """Nodes whose WireGuard device has the peer."""
    shown = lab.on_all(lab.nodes, "wg", "show", "wg0", "peers")
    return {node for node, text in shown.items() if public_key in text.split()}


def test_added_and_removed_within_a_second(lab: Lab, leftovers: list[str], tmp_path: Path) -> None:
    path = tmp_path / f"{DEVICE}.conf"
    holders(lab, "")  # opens the connections, so that the clock measures nodes, not SSH
    with ten_pinging(lab):
        leftovers.append("extra")
        done = lab.cli("client", "add", "extra", "--output", str(path))
        added = time.monotonic()
        assert done.returncode == 0, done.stderr
        with lab.api() as api:
            view = api.get(ClientView, "clients", "extra")
        wait_for(
            "every node has the new peer",
            lambda: holders(lab, view.public_key.text) == set(lab.nodes),
            5,
            every=0.02,
        )
        took = time.monotonic() - added
        print(f"on every node {took:.2f} s after `client add`")
        assert took < 1

        connect(lab, path)
        target = lab.service("ams").v4
        victim = Ping(lab.netns(HOST), target, options=("-I", DEVICE), name="extra")
        with traffic.running([victim]):
            wait_for("the new client gets answers", victim.answers, 10)
            time.sleep(1)
            done = lab.cli("client", "remove", "extra", "--yes")
            removed = traffic.now()
            assert done.returncode == 0, done.stderr
            time.sleep(3)
            flow = victim.stop()
        assert flow.last_answer < removed + 1, f"{flow.last_answer - removed:.2f} s after removal"
        assert holders(lab, view.public_key.text) == set()


def connect(lab: Lab, path: Path) -> None:
    """A second tunnel in a client host, beside its own, from the file as it is."""
    lines = path.read_text().splitlines()
    # Its routes would collide with those of the host's own tunnel: pings name the device.
    text = "\n".join([*lines[:2], "Table = off", *lines[2:]])
    lab.script(
        HOST,
        f"umask 077; cat >/etc/wireguard/{DEVICE}.conf <<'END'\n{text}\nEND\n"
        f"WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go wg-quick up {DEVICE} 2>&1",
    )


def test_remove_asks(lab: Lab, leftovers: list[str]) -> None:
    leftovers.append("kept")
    assert lab.cli("client", "add", "kept").returncode == 0
    refused = lab.cli("client", "remove", "kept", given="n\n")
    assert refused.returncode == 1
    assert b"Remove kept" in refused.stderr
    assert lab.cli("client", "show", "kept").returncode == 0


def test_many_changes_lose_nothing(lab: Lab, leftovers: list[str]) -> None:
    """Twenty clients come and go while others ping; in the end all nodes agree."""
    before = {view.name for view in lab.client_views()}
    with ten_pinging(lab):
        for number in range(10):
            leftovers.append(f"many-{number}")
            assert lab.cli("client", "add", f"many-{number}").returncode == 0
        for number in range(10):
            name = f"many-{number}"
            assert lab.cli("client", "remove", name, "--yes").returncode == 0
            leftovers.remove(name)
    wanted = {view.public_key.text for view in lab.client_views()}
    assert {view.name for view in lab.client_views()} == before

    def agree() -> bool:
        shown = lab.on_all(lab.nodes, "wg", "show", "wg0", "peers")
        return all(set(text.split()) == wanted for text in shown.values())

    wait_for("every node has exactly the enrolled clients", agree, 5)
