"""Clients reach their own site's datacentre through the one anycast address."""

from __future__ import annotations

import secrets
import time
from collections import Counter

from tests.support.lab import Lab
from tests.support.waiting import wait_for

STATUS_NODE = {
    "name", "datacentre", "state", "announcing", "sessions", "revision", "routing", "wireguard",
    "takeover", "version", "drain",
}  # fmt: skip


def test_status_says_what_the_edges_do(lab: Lab) -> None:
    status = lab.cli_json("status")
    assert set(status) == {"deployment", "anycast", "nodes", "clients"}
    assert status["anycast"] == [str(a) for a in lab.deployment.anycast.addresses]
    for node in status["nodes"]:
        assert set(node) == STATUS_NODE
        assert (node["state"], node["announcing"]) == ("UP", True)
        assert node["routing"] == ("bird" if node["datacentre"] == "ams" else "frr")
    for dc in lab.deployment.datacentres:
        assert lab.announcers(dc.name) == {node.name for node in dc.nodes}


def test_every_client_is_connected_and_counted(lab: Lab) -> None:
    def counted() -> bool:
        clients = lab.cli_json("status")["clients"]
        return bool(clients == {"enrolled": len(lab.clients), "connected": len(lab.clients)})

    wait_for("every client counts as connected", counted, 30, every=1)
    for client in lab.cli_json("client", "list"):
        assert client["owner"]
        assert client["endpoint"]
        assert client["latest_handshake"].startswith("20")


def test_clients_know_the_anycast_address_only(lab: Lab) -> None:
    anycast = {f"{a}:{lab.deployment.anycast.port}" for a in lab.deployment.anycast.addresses}
    for client in lab.clients:
        [line] = lab.wg_of(client, "show", "endpoints").strip().splitlines()
        assert line.split("\t")[1] in anycast, client
        handshake = lab.wg_of(client, "show", "latest-handshakes").split("\t")[1]
        age = time.time() - int(handshake)
        assert age < 180, f"{client}'s session is {age:.0f} s old"


def test_packets_go_to_the_own_sites_datacentre(lab: Lab) -> None:
    assert lab.strangers() == []


def test_both_nodes_of_a_datacentre_serve_some(lab: Lab) -> None:
    """Eight clients a site. A fair hash leaves a node alone once in 128 draws: a client
    draws again by taking another source port, as after a reboot.
    """
    assert min(len(lab.clients_of(site)) for site in ("site1", "site2")) >= 8

    def served() -> bool:
        owners = Counter(view.owner for view in lab.client_views())
        idle = [node for node in lab.nodes if not owners[node]]
        for node in idle:
            site = "site1" if lab.datacentre_of(node).name == "ams" else "site2"
            client = secrets.choice(lab.clients_of(site))
            lab.wg_of(client, "set", "listen-port", str(20000 + secrets.randbelow(20000)))
        if idle:
            lab.nudge()
        return not idle

    wait_for("every node serves a client", served, 90, every=3)


def test_nodes_and_control_plane_agree_on_sessions(lab: Lab) -> None:
    def agree() -> bool:
        reported = {name: r for name, r in lab.reports().items() if r is not None}
        owned = Counter(view.owner for view in lab.client_views())
        return all(len(reported[name].sessions) == owned[name] for name in lab.nodes)

    wait_for("nodes' sessions are the control plane's owners", agree, 30, every=1)


def test_clients_do_not_wait_for_nodes(lab: Lab) -> None:
    """They share the cores; without it, their small buffers overflow while nodes are busy."""
    for host in lab.of_kind("client"):
        shown = lab.run(host.name, "systemctl", "show", "-p", "Nice", "wg-quick@wg0")
        assert shown.strip() == "Nice=-10"
