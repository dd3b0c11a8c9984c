"""Who serves whom in a lab, said by the nodes themselves, and ways to change that.

The control plane knows the same a little later; where a second counts, ask here.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from anycastle.model.addresses import fabric_interface
from anycastle.model.node import FabricSpec
from components.lab import container, power
from components.lab.layout import Layout
from tests.support.lab import Lab
from tests.support.waiting import wait_for, wait_quiet
from tools.measure import switch
from tools.measure.probing import StreamSpec

REPORTED = 1.5
"""Seconds after which agents say what has happened to a session."""


def owners(lab: Lab) -> dict[str, list[str]]:
    """Every node that says it serves a client: one each, when all is well."""
    names = {view.id: view.name for view in lab.client_views()}
    found: dict[str, list[str]] = {name: [] for name in lab.clients}
    for node, report in lab.reports().items():
        for session in report.sessions if report else ():
            if (name := names.get(session.client)) in found:
                found[name].append(node)
    return found


def served_by(lab: Lab, node: str) -> list[str]:
    return [name for name, nodes in owners(lab).items() if node in nodes]


def disputed(lab: Lab) -> list[str]:
    """Complaints: clients that not exactly one node serves, and kernels of nodes that run
    which send a client's packets elsewhere than to that node."""
    complaints = []
    found = owners(lab)
    alive = [node for node in lab.nodes if running(lab, node)]
    for name, nodes in found.items():
        if len(nodes) != 1:
            complaints.append(f"{name} is served by {' and '.join(nodes) or 'nobody'}")
            continue
        address = lab.addresses[name].v4
        ways = {node: next_hop(lab, node, address) for node in alive}
        complaints += [
            f"{node} sends {name}'s packets to {way}, not to {nodes[0]}"
            for node, way in ways.items()
            if way != nodes[0]
        ]
    return complaints


def next_hop(lab: Lab, node: str, address: str) -> str:
    """The node that a node's kernel sends packets for a client to: itself, when over wg0;
    `nowhere` without a route."""
    network = FabricSpec().networks.v4
    names = {str(fabric_interface(network, lab.loopback(name)).ip): name for name in lab.nodes}
    try:
        words = lab.inside(node, "ip", "-o", "route", "get", address).split()
    except subprocess.CalledProcessError:
        return "nowhere"
    if "wg0" in words:
        return node
    via = words[words.index("via") + 1] if "via" in words else ""
    return names.get(via, " ".join(words))


def site_of(lab: Lab, node: str) -> str:
    """The site whose clients go to the node's datacentre."""
    return "site1" if lab.datacentre_of(node) == lab.deployment.datacentres[0] else "site2"


def bring_client(lab: Lab, node: str, timeout: float = 90.0) -> str:
    """A client that the node serves. One of its site tries other ports until one is.

    Another source port is another draw of the edge's hash, as after a client's reboot.
    Raises NotInTime.
    """
    candidates = lab.clients_of(site_of(lab, node))

    def found() -> str | None:
        # A silent client stays with whom it was; its next packet goes where routing says.
        lab.nudge()
        time.sleep(REPORTED)
        served = [name for name in served_by(lab, node) if name in candidates]
        if served:
            return served[0]
        lab.reconnect([secrets.choice(candidates)])
        return None

    name = wait_for(f"{node} serves a client", found, timeout, every=0)
    assert name is not None
    return name


def streams(
    lab: Lab, clients: Sequence[str] | None = None, rate: float = 100.0, size: int = 100
) -> list[StreamSpec]:
    """An echo stream for each client, to the service in its own datacentre."""
    return [
        StreamSpec(
            name=client,
            netns=lab.netns(client),
            target=lab.service(lab.home(client).name).v4,
            target_netns=lab.netns(f"{lab.home(client).name}-svc"),
            rate=rate,
            size=size,
        )
        for client in (lab.clients if clients is None else clients)
    ]


def kill(lab: Lab, host: str, then: Callable[[], object] = lambda: None) -> float:
    """End a host as a power cut does; epoch seconds at which it had fallen silent: no
    packet sent later can have been answered by it. then: called at that moment."""
    layout = Layout(lab.name, lab.directory)
    container.silence(layout, host)
    silent = time.time()
    then()
    power.kill(layout, host)
    return silent


def start(lab: Lab, host: str) -> None:
    """Boot it, or leave it alone where it runs."""
    power.start(Layout(lab.name, lab.directory), host)


def running(lab: Lab, host: str) -> bool:
    return power.running(Layout(lab.name, lab.directory))[host]


@contextmanager
def revived(lab: Lab, *hosts: str) -> Iterator[None]:
    """Whatever happens in the block, these hosts run afterwards."""
    try:
        yield
    finally:
        for host in hosts:
            start(lab, host)


@contextmanager
def takeover_off(lab: Lab) -> Iterator[None]:
    """The block sees what clients see of a deployment without takeover."""
    try:
        _switch(lab, False)
        yield
    finally:
        _switch(lab, True)


def _switch(lab: Lab, enabled: bool) -> None:
    lab.serve(400)  # an agent that is only starting does not hear a reload
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda node: lab.script(node, switch.script(enabled)), lab.nodes))

    def wrong() -> list[str]:
        said = {name: report.takeover if report else None for name, report in lab.reports().items()}
        return [f"{n}: {s!r}" for n, s in said.items() if not s or (s == "off") == enabled]

    wait_quiet(f"takeover {'on' if enabled else 'off'}", wrong, 60, every=0.5)
    lab.serve()
