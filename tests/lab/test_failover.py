"""Each way for a node to die withdraws it, its clients go on elsewhere, and it comes back.

Other nodes' clients lose no packet meanwhile, but for answers that a dead host was to pass on
until it was found out. Which node a test
breaks is spread over the nodes, since one that keeps failing is held down longer.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.support import traffic
from tests.support.lab import Lab
from tests.support.traffic import Ping
from tests.support.waiting import wait_for

CLIENT_TIMER = 30.0
"""Seconds. A client that sends notices after 15 that nobody answers (WireGuard's
KEEPALIVE_TIMEOUT + REKEY_TIMEOUT), and its first tries may meet a route that just moves."""
DETECTED = 1.0
"""Seconds until nothing is sent to a dead node any more; BFD takes 0.15."""
BACK = 90.0
Dead = Callable[..., AbstractContextManager[None]]


def owners(lab: Lab) -> dict[str, str]:
    return {view.name: view.owner for view in lab.client_views() if view.owner}


def client_of(lab: Lab, node: str) -> str:
    """A client that the node serves; one is moved there when there is none."""
    place = "site1" if lab.datacentre_of(node).name == "ams" else "site2"

    def found() -> str | None:
        served = [name for name, owner in owners(lab).items() if owner == node]
        if not served:
            port = str(20000 + secrets.randbelow(20000))
            lab.wg_of(secrets.choice(lab.clients_of(place)), "set", "listen-port", port)
            lab.nudge()
        return served[0] if served else None

    name = wait_for(f"{node} serves a client", found, 90, every=3)
    assert name is not None
    return name


def in_service(lab: Lab, node: str) -> bool:
    return node in lab.announcers(lab.datacentre_of(node).name)


def withdrawn_within(lab: Lab, node: str, since: float) -> float:
    """Seconds from `since` (monotonic) until the edge router no longer sends to the node."""
    wait_for(f"{node} withdrawn", lambda: not in_service(lab, node), 20, every=0.02)
    return time.monotonic() - since


@contextmanager
def others_undisturbed(lab: Lab, *broken: str, passing: bool = False) -> Iterator[None]:
    """Clients of the other nodes ping the service in their own datacentre and lose nothing,
    and no other node withdraws.

    passing: answers may come by way of a broken node, as edges know the pool only;
    then nobody loses more than what BFD takes to find out.
    """
    quiet = {name: owner for name, owner in owners(lab).items() if owner not in broken}
    pings = [
        Ping(lab.netns(name), lab.service(lab.home(name).name).v4, name=f"{name} ({owner})")
        for name, owner in quiet.items()
    ]
    last = max((event_id for event_id, _, _ in _events(lab)), default=0)
    with traffic.running(pings):
        yield
        flows = traffic.stop_all(pings)
    if passing:
        assert not [str(flow) for flow in flows if flow.longest_gap > DETECTED]
    else:
        traffic.assert_lossless(flows)
    withdrew = {
        node
        for event_id, kind, node in _events(lab)
        if event_id > last and kind == "node.withdrawn"
    }
    assert withdrew <= set(broken), "another node withdrew"


def _events(lab: Lab) -> list[tuple[int, str, str]]:
    from anycastle.model.status import Event

    with lab.api() as api:
        events = api.get(tuple[Event, ...], "events", limit=200)
    return [(e.id or 0, e.kind, e.node or "") for e in events]


def test_host_dies(lab: Lab, dead: Dead) -> None:
    """Power off. Its client's traffic resumes through another node, nobody touches the client."""
    node = "fra-1"
    client = client_of(lab, node)
    target = lab.service(lab.home(client).name).v4
    victim = Ping(lab.netns(client), target, interval=0.1, name=client)
    with traffic.running([victim]), others_undisturbed(lab, node, passing=True):
        wait_for("the client talks", victim.answers, 20)
        time.sleep(1)
        died = traffic.now()
        began = time.monotonic()
        with dead(lab, node):
            took = withdrawn_within(lab, node, began)
            assert took < 2, f"withdrawn after {took:.2f} s"
            wait_for(
                "the client's traffic resumes",
                lambda: max(victim.answers().values()) > died + took + 0.2,
                CLIENT_TIMER,
            )
            owner = wait_for(
                "another owner", lambda: {owners(lab).get(client)} - {node, None}, 15, every=0.5
            )
            assert owner <= set(lab.nodes)
            flow = victim.stop()
            print(f"host died: withdrawn after {took:.2f} s, silence {flow.longest_gap:.1f} s")
        lab.serve(BACK)


def test_agent_is_killed(lab: Lab) -> None:
    node = "ams-1"
    with others_undisturbed(lab, node):
        began = time.monotonic()
        lab.run(node, "systemctl", "kill", "--signal=KILL", "anycastle-agent")
        took = withdrawn_within(lab, node, began)
        assert took < 1.5, f"withdrawn after {took:.2f} s; the agent's death has to do it"
        lab.serve(BACK)
    print(f"agent killed: withdrawn after {took:.2f} s")


@pytest.mark.parametrize(("node", "unit"), [("ams-2", "bird"), ("fra-2", "frr")])
def test_routing_daemon_is_killed(lab: Lab, node: str, unit: str) -> None:
    with others_undisturbed(lab, node):
        began = time.monotonic()
        lab.run(node, "systemctl", "kill", "--signal=KILL", unit)
        took = withdrawn_within(lab, node, began)
        assert took < 2, f"withdrawn after {took:.2f} s"
        lab.serve(BACK)
    print(f"{unit} killed: withdrawn after {took:.2f} s")


def test_agent_hangs(lab: Lab) -> None:
    """It holds its BGP sessions open and does nothing: hold timer and watchdog see to it."""
    node = "fra-1"
    with others_undisturbed(lab, node):
        began = time.monotonic()
        lab.run(node, "systemctl", "kill", "--signal=STOP", "--kill-who=main", "anycastle-agent")
        try:
            took = withdrawn_within(lab, node, began)
            assert took < 8, f"withdrawn after {took:.2f} s"
            lab.serve(BACK)
        finally:
            lab.run(node, "systemctl", "kill", "--signal=CONT", "anycastle-agent", check=False)
    print(f"agent hung: withdrawn after {took:.2f} s")


def test_wireguard_device_is_taken_away(lab: Lab) -> None:
    node = "ams-2"
    with others_undisturbed(lab, node):
        began = time.monotonic()
        lab.run(node, "ip", "link", "delete", "wg0")
        took = withdrawn_within(lab, node, began)
        assert took < 3, f"withdrawn after {took:.2f} s"
        lab.serve(BACK)
    peers = lab.run(node, "wg", "show", "wg0", "peers").split()
    assert len(peers) == len(lab.client_views()), "the new device has all peers"
    print(f"device gone: withdrawn after {took:.2f} s")


def test_whole_datacentre_dies(lab: Lab, dead: Dead) -> None:
    """Its site's clients end up in the other datacentre, and come home afterwards."""
    site = lab.clients_of("site1")
    far = {node.name for node in lab.deployment.datacentres[1].nodes}
    target = lab.service("fra").v4
    pings = [Ping(lab.netns(c), target, interval=0.2, name=c) for c in site]
    with traffic.running(pings), others_undisturbed(lab, "ams-1", "ams-2"):
        with dead(lab, "ams-1", "ams-2"):
            died = traffic.now()
            wait_for(
                "every client of site1 hears from fra's service",
                lambda: all(max(p.answers().values(), default=0) > died + 2 for p in pings),
                2 * CLIENT_TIMER,
            )
            wait_for(
                "fra's nodes own them",
                lambda: {owners(lab).get(c) for c in site} <= far,
                15,
                every=0.5,
            )
        lab.serve(BACK)


def test_a_cause_that_all_share_withdraws_not_everybody(lab: Lab) -> None:
    """The same probe fails on every node: the service stays announced, and heals."""
    directory = "/var/lib/anycastle"
    covered = f"mount -t tmpfs -o ro,size=64k none {directory}"
    prefix = next(p for p in lab.deployment.anycast.prefixes if p.version == 4)
    ping = Ping(lab.netns("site1-c1"), lab.service("ams").v4, name="site1-c1")
    with traffic.running([ping]):
        try:
            lab.on_all(lab.nodes, "sh", "-c", covered)
            failing = wait_for(
                "every node notices",
                lambda: all(r and r.state in ("DEMOTED", "DOWN") for r in lab.reports().values()),
                40,
                every=0.5,
            )
            assert failing
            end = time.monotonic() + 20
            while time.monotonic() < end:
                routes = lab.inside("core1", "ip", "-j", "route", "show", str(prefix))
                assert "198.51.100." in routes, "nobody announces the anycast prefix any more"
                time.sleep(0.25)
        finally:
            lab.on_all(lab.nodes, "umount", directory, check=False)
        lab.serve(BACK)
        flow = ping.stop()
    assert flow.longest_gap < CLIENT_TIMER, str(flow)
