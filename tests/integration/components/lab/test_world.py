"""The world converges: a client behind NAT reaches the datacentre of its site, and the other
one when that one's edge router is dead.

A stand-in announces for the agent: each node's BIRD says the anycast prefixes to its edge,
and a web server on the anycast address says which node answered.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from ipaddress import ip_address

import pytest

from components.lab import power
from components.lab.disk import DiskError
from tests.samples.lab_deployment import DEPLOYMENT
from tests.support.booted_lab import BootedLab
from tests.support.waiting import wait_for

NODES = {"ams-1": (1, 1), "fra-1": (2, 3)}
"""Node -> number of its datacentre, id."""

BIRD = """\
router id 10.64.0.{id};
protocol device {{ }}
protocol bfd {{ }}
protocol kernel {{ ipv4 {{ import none; export where source = RTS_BGP; }}; }}
protocol kernel {{ ipv6 {{ import none; export where source = RTS_BGP; }}; }}
protocol static {{ ipv4; route 192.0.2.0/24 unreachable; route 10.200.0.0/16 unreachable;
  route 10.64.0.{id}/32 unreachable; }}
protocol static {{ ipv6; route 2001:db8:a::/48 unreachable; }}
template bgp edge {{
  local as 64512; connect delay time 1; error wait time 1, 2;
  bfd {{ min rx interval 50 ms; min tx interval 50 ms; multiplier 3; }};
}}
protocol bgp edge4 from edge {{ neighbor 10.65.{dc}.{up} as 6460{dc};
  ipv4 {{ import all; export where source = RTS_STATIC; }}; }}
protocol bgp edge6 from edge {{ neighbor fd00:65:{dc}::{up:x} as 6460{dc};
  ipv6 {{ import all; export where source = RTS_STATIC; }}; }}
"""


ECHO = """\
import socket, sys
served = socket.socket(getattr(socket, sys.argv[1]), socket.SOCK_DGRAM)
served.bind((sys.argv[2], 51820))
while True:
    _, sender = served.recvfrom(99)
    served.sendto(sender[0].encode(), sender)
"""
ASK = """\
import socket
asking = socket.socket(socket.{family}, socket.SOCK_DGRAM)
asking.settimeout(0.5)
for _ in range(10):
    asking.sendto(b"who am I", ("{address}", 51820))
    try:
        print(asking.recv(99).decode())
        break
    except TimeoutError:
        continue
"""


def announce(lab: BootedLab, node: str) -> None:
    """Make the node a stand-in that serves its own name on the anycast addresses."""
    datacentre, number = NODES[node]
    config = BIRD.format(id=number, dc=datacentre, up=2 * number)
    lab.run(node, "cat >/etc/bird/bird.conf", config)
    lab.run(
        node,
        "ip address add 192.0.2.1/32 dev lo; ip address add 2001:db8:a::1/128 dev lo;"
        "mkdir -p /srv/name; hostname >/srv/name/index.html;"
        "systemd-run -q --unit=name python3 -m http.server 80 --bind :: --directory /srv/name;"
        "systemctl restart bird",
    )
    lab.expect_node(node)


def answering(lab: BootedLab, client: str, address: str) -> str:
    """Which node answers the client at this address, "" for none."""
    host = f"[{address}]" if ip_address(address).version == 6 else address
    command = f"curl --silent --max-time 1 http://{host}/ || true"
    return lab.run(client, command).strip()


def both(lab: BootedLab, client: str) -> set[str]:
    return {answering(lab, client, str(address)) for address in DEPLOYMENT.anycast.addresses}


def sessions(lab: BootedLab, router: str) -> dict[str, str]:
    """BGP session -> which life of its is established ("" for none), of any router."""
    if router == "fra-edge":
        found = json.loads(lab.run(router, "vtysh -c 'show bgp neighbors json'"))
        return {
            name: f"life {peer['connectionsEstablished']}"
            if peer["bgpState"] == "Established"
            else ""
            for name, peer in found.items()
        }
    rows = [line.split() for line in lab.run(router, "birdc show protocols").splitlines()]
    rows = [row for row in rows if row[1:2] == ["BGP"]]
    return {row[0]: row[4] if row[5:] == ["Established"] else "" for row in rows}


def converged(lab: BootedLab) -> bool:
    routers = ("core1", "core2", "ams-edge", "fra-edge")
    return all(all(sessions(lab, router).values()) for router in routers)


@pytest.fixture(scope="module")
def world(make_lab: Callable[[], AbstractContextManager[BootedLab]]) -> Iterator[BootedLab]:
    """Both datacentres with one node each, the core, a service, one site with one client."""
    with make_lab() as lab:
        stand_up(lab)
        yield lab


def stand_up(lab: BootedLab) -> None:
    lab.boot("core1", "core2", "ams-edge", "fra-edge", "ams-svc", "ams-1", "fra-1")
    lab.boot("site1-nat", "site1-c1")
    for node in NODES:
        announce(lab, node)
    wait_for("all BGP sessions", partial(converged, lab), timeout=30)
    wait_for("own datacentre", lambda: both(lab, "site1-c1") == {"ams-1"}, timeout=10)


def test_dead_edge_moves_clients_to_the_other_datacentre_and_back(world: BootedLab) -> None:
    power.kill(world.layout, "ams-edge")
    wait_for("other datacentre", lambda: both(world, "site1-c1") == {"fra-1"}, timeout=10)
    power.start(world.layout, "ams-edge")
    wait_for("own datacentre again", lambda: both(world, "site1-c1") == {"ams-1"}, timeout=30)


def test_client_is_seen_with_the_address_of_its_nat_router(world: BootedLab) -> None:
    world.run("ams-1", "cat >/run/echo.py", ECHO)
    seen = {}
    for family, address in (("AF_INET", "192.0.2.1"), ("AF_INET6", "2001:db8:a::1")):
        world.run("ams-1", f"systemd-run -q python3 /run/echo.py {family} {address}")
        asking = ASK.format(family=family, address=address)
        seen[family] = world.run("site1-c1", "python3 -", asking).strip()
    assert seen == {"AF_INET": "203.0.113.1", "AF_INET6": "2001:db8:200::1"}


@pytest.mark.parametrize(
    ("router", "there", "never"),
    [
        (
            "core1",
            {"192.0.2.0/24", "2001:db8:a::/48", "10.64.0.1", "10.65.1.0/24"},
            {"10.200.0.0/16", "10.50.1.0/24", "fd00:50:1::/64"},
        ),
        ("fra-edge", {"10.200.0.0/16", "10.50.1.0/24", "10.64.0.1", "fd00:50:1::/64"}, set()),
        ("fra-1", {"default", "10.50.1.0/24", "fd00:50:1::/64"}, set()),
    ],
)
def test_prefixes_go_where_the_policy_says(
    world: BootedLab, router: str, there: set[str], never: set[str]
) -> None:
    wait_for("routes", lambda: there <= kernel_routes(world, router), timeout=20)
    assert not never & kernel_routes(world, router)


def test_a_block_that_the_daemon_refuses_leaves_no_trace(world: BootedLab) -> None:
    for edge, peers in (
        ("ams-edge", "birdc show protocols"),
        ("fra-edge", "vtysh -c 'sh bgp sum'"),
    ):
        before = world.run(edge, "cat /etc/*/nodes.d/*.conf")
        answer = world.run(edge, "edge-peer set broken 2>&1 || echo refused", "nonsense here\n")
        assert "refuses the block of broken" in answer
        assert answer.endswith("refused\n")
        assert world.run(edge, "cat /etc/*/nodes.d/*.conf") == before
        assert "broken" not in world.run(edge, peers)


def test_removing_a_node_leaves_other_sessions_alone(world: BootedLab) -> None:
    """The node's sessions go, those with core and backbone keep their age."""
    for edge, node in (("ams-edge", "ams-1"), ("fra-edge", "fra-1")):
        wait_for("all BGP sessions", partial(converged, world), timeout=30)
        before = sessions(world, edge)
        world.run(edge, f"edge-peer remove {node}")
        after = sessions(world, edge)
        assert len(set(before) - set(after)) == 2
        assert {name: before[name] for name in after} == after
        world.expect_node(node)
        wait_for("the node again", partial(all_back, world, edge, set(before)), timeout=20)
        assert {name: sessions(world, edge)[name] for name in after} == after


def test_a_new_base_configuration_drops_no_session(world: BootedLab) -> None:
    for edge, file, change, shown in (
        ("ams-edge", "/etc/bird/bird.conf", "s/scan time 10/scan time 11/", "true"),
        (
            "fra-edge",
            "/etc/frr/base.conf",
            "s/description core2/description second/",
            "vtysh -c 'sh run'",
        ),
    ):
        wait_for("all BGP sessions", partial(converged, world), timeout=30)
        before = sessions(world, edge)
        world.run(edge, f"sed -i '{change}' {file} && edge-peer reload")
        assert sessions(world, edge) == before
        assert shown == "true" or "description second" in world.run(edge, shown)


def test_dead_daemons_come_back_with_all_sessions(world: BootedLab) -> None:
    routers = (("ams-edge", "bird", "bird"), ("fra-edge", "bgpd", "bfdd"))
    for edge, daemon, speaker in routers:
        wait_for("all BGP sessions", partial(converged, world), timeout=30)
        assert "SCHED_RR" in world.run(edge, f"chrt --pid $(pidof {speaker})")
        before = set(sessions(world, edge))
        world.run(edge, f"kill -9 $(pidof {daemon})")
        wait_for(f"{daemon} again", partial(all_back, world, edge, before), timeout=30)


def all_back(lab: BootedLab, router: str, names: set[str]) -> bool:
    """Are just these sessions established? Not while the daemon can't be asked."""
    try:
        return {name for name, life in sessions(lab, router).items() if life} == names
    except (DiskError, ValueError):
        return False


def test_graceful_shutdown_moves_traffic_to_the_other_datacentre(world: BootedLab) -> None:
    """RFC 8326: the node still announces, and nobody uses it while there is another path."""
    for node, edge, other in (("ams-1", "ams-edge", "fra-edge"), ("fra-1", "fra-edge", "ams-edge")):
        set_shutdown(world, node, True)
        wait_for("the backbone", partial(goes_by, world, edge, other), timeout=10)
        set_shutdown(world, node, False)
        wait_for("the node again", partial(goes_by, world, edge, node), timeout=10)


def set_shutdown(lab: BootedLab, node: str, on: bool) -> None:
    """Mark what the node announces with GRACEFUL_SHUTDOWN, or no longer."""
    datacentre, number = NODES[node]
    config = BIRD.format(id=number, dc=datacentre, up=2 * number)
    if on:
        config = config.replace(
            "export where source = RTS_STATIC;",
            "export filter { bgp_community.add((65535, 0)); "
            "if source = RTS_STATIC then accept; reject; };",
        )
    lab.run(node, "cat >/etc/bird/bird.conf && birdc configure", config)


def goes_by(lab: BootedLab, edge: str, device: str) -> bool:
    """Do both anycast prefixes leave the edge router by this device?"""
    found = set()
    for prefix in DEPLOYMENT.anycast.prefixes:
        routes = json.loads(lab.run(edge, f"ip -{prefix.version} -json route show {prefix}"))
        found |= {route.get("dev") for route in routes}
    return found == {device}


def kernel_routes(lab: BootedLab, host: str) -> set[str]:
    """Destinations of both families."""
    return {
        route["dst"]
        for version in (4, 6)
        for route in json.loads(lab.run(host, f"ip -{version} -json route show"))
    }
