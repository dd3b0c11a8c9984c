"""Anybody reaches anybody: clients each other wherever they are, and the services inside.

A thousand pings per flow without a loss, in both families, all flows at once.
"""

from __future__ import annotations

import json

import pytest

from tests.support import traffic
from tests.support.lab import Lab
from tests.support.traffic import Ping

COUNT = 1000
INTERVAL = 0.02


def by_node(lab: Lab) -> dict[str, str]:
    """One client per node that serves any."""
    owners = {view.name: view.owner for view in lab.client_views()}
    return {owner: name for name, owner in owners.items() if owner and name in lab.clients}


def pings(lab: Lab, source: str, targets: tuple[str, ...], name: str) -> list[Ping]:
    return [
        Ping(lab.netns(source), target, interval=INTERVAL, count=COUNT, name=f"{name} {target}")
        for target in targets
    ]


def ends(lab: Lab, started: list[Ping]) -> None:
    with traffic.running(started):
        traffic.assert_lossless([ping.wait(COUNT * INTERVAL + 30) for ping in started])


def test_client_to_client(lab: Lab) -> None:
    """Same datacentre but different nodes, and different datacentres, there and back."""
    clients = by_node(lab)
    [ams, fra] = [
        [clients[node.name] for node in dc.nodes if node.name in clients]
        for dc in lab.deployment.datacentres
    ]
    pairs = [(ams[0], fra[0]), (fra[-1], ams[-1])]
    pairs += [(side[0], side[1]) for side in (ams, fra) if len(side) > 1]
    assert len(pairs) >= 3, "no datacentre's nodes both serve a client"
    started = []
    for source, target in pairs:
        targets = tuple(lab.addresses[target])
        started += pings(lab, source, targets, f"{source} -> {target}")
    ends(lab, started)


def test_client_to_services(lab: Lab) -> None:
    started = []
    for client in by_node(lab).values():
        for dc in lab.deployment.datacentres:
            targets = tuple(lab.service(dc.name))
            started += pings(lab, client, targets, f"{client} -> {dc.name}-svc")
    ends(lab, started)


def test_services_to_clients(lab: Lab) -> None:
    started = []
    for client in by_node(lab).values():
        for dc in lab.deployment.datacentres:
            targets = tuple(lab.addresses[client])
            started += pings(lab, f"{dc.name}-svc", targets, f"{dc.name}-svc -> {client}")
    ends(lab, started)


def test_every_client_reaches_every_other(lab: Lab) -> None:
    """A breadth check beside the depth of the others: three pings a pair."""
    for source in lab.clients:
        started = [
            Ping(lab.netns(source), address, interval=0.2, count=3)
            for target in lab.clients
            if target != source
            for address in lab.addresses[target]
        ]
        with traffic.running(started):
            traffic.assert_lossless([ping.wait(20) for ping in started])


@pytest.mark.parametrize("family", ["v4", "v6"])
@pytest.mark.parametrize("direction", ["up", "down"])
def test_tcp_carries_full_segments(lab: Lab, family: str, direction: str) -> None:
    """A path with too small an MTU and no ICMP lets pings pass and stalls TCP."""
    client = "site1-c1"
    target = getattr(lab.service("fra"), family)
    lab.run("fra-svc", "iperf3", "--server", "--one-off", "--daemon", "--bind", target)
    command = ["iperf3", "--json", "--time", "3", "--client", target]
    result = json.loads(
        lab.run(client, *command, *(["--reverse"] if direction == "down" else []), timeout=20)
    )
    received = result["end"]["sum_received"]["bits_per_second"]
    assert received > 5e6, f"{received / 1e6:.1f} Mbit/s"
