"""Sessions survive: clients go on where routing brings them, whatever happens to their node.

The limits tell a working takeover (a second at most) from the clients' own timers (15 s and
more); benchmarks/outage.py and benchmarks/drain.py have the figures.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.support import sessions, traffic
from tests.support.lab import Lab
from tests.support.traffic import Ping
from tests.support.waiting import wait_for, wait_quiet
from tools.measure.probing import Probing, TransferSpec, probing

WITHIN = 5.0
"""Seconds: far more than takeover takes, far less than 15."""
OWN_TIMER = 30.0
"""Seconds in which a client notices by itself."""
AGREED = 15.0
"""Seconds in which all nodes have the same owner for every client."""
BACK = 90.0
DETECTED = 1.0
"""Seconds in which a dead node gets no packet of anybody any more; BFD takes 0.15."""
Dead = Callable[..., AbstractContextManager[None]]


@pytest.fixture(autouse=True)
def at_work(lab: Lab) -> None:
    """The nodes say that takeover is at work, or no test here says anything."""
    said = {name: report.takeover if report else None for name, report in lab.reports().items()}
    assert set(said.values()) <= {"bpf", "nftables"}, said


@contextmanager
def busy(lab: Lab, transfers: Sequence[TransferSpec] = (), rate: float = 50) -> Iterator[Probing]:
    """Every client sends to its own datacentre's service and is answered."""
    with probing(sessions.streams(lab, rate=rate), transfers) as probe:
        silent = probe.answering(lab.clients, 20)
        assert not silent, silent
        yield probe


def one_owner_each(lab: Lab) -> None:
    """Exactly one node serves each client, and all nodes' kernels send its packets there."""
    wait_quiet("one owner for each client", lambda: sessions.disputed(lab), AGREED, every=0.5)


@pytest.mark.parametrize("node", ["ams-1", "fra-1"])
def test_busy_clients_of_a_dead_node(lab: Lab, dead: Dead, node: str) -> None:
    sessions.bring_client(lab, node)
    with busy(lab) as probe:
        victims = sessions.served_by(lab, node)
        assert victims
        with sessions.revived(lab, node):
            killed = sessions.kill(lab, node)
            silent = probe.answering(victims, WITHIN, killed)
            assert not silent, f"not back within {WITHIN:g} s: {silent}"
            one_owner_each(lab)
            others = [s for n, s in probe.summaries(killed).items() if n not in victims]
            # Answers to them may come by way of the dead node until it is found out.
            bad = [str(each) for each in others if each.lost_up or each.gap > DETECTED]
            assert not bad, "\n".join(bad)
        # It comes back with nobody's session, and routing gives it clients again.
        returned = time.time()
        lab.serve(BACK)
        silent = probe.answering(lab.clients, WITHIN)
        assert not silent, silent
        one_owner_each(lab)
        worst = max(probe.summaries(returned).values(), key=lambda each: each.gap)
        assert worst.gap < WITHIN, str(worst)
    assert sessions.owners(lab).keys() == set(lab.clients)


def test_drain_loses_nothing(lab: Lab) -> None:
    """Streams and TCP transfers go on through a drain and the return of a node.

    At rates at which wireguard-go's socket holds what comes in half a second, for which a
    busy machine may not let it run. benchmarks/drain.py has more.
    """
    for node in ("ams-2", "fra-2"):
        sessions.bring_client(lab, node)
        with busy(lab, transfers_of(lab, node)) as probe:
            for verb in ("drain", "resume"):
                began = time.time()
                done = lab.cli("node", verb, node, "--wait")
                assert done.returncode == 0, done.stderr.decode()
                time.sleep(2)
                answer = probe.window(began, forget=True)
                bad = [str(each) for each in answer.summaries if each.lost or each.gap > 1]
                assert not bad, "\n".join([f"{verb} of {node}:", *bad])
                for moved in answer.moved:
                    assert not moved.broken, moved
                    assert moved.received > 0, moved
                    assert moved.gap < 1, moved
                if verb == "drain":
                    assert sessions.served_by(lab, node) == []
                one_owner_each(lab)
        lab.serve(BACK)


def transfers_of(lab: Lab, node: str) -> list[TransferSpec]:
    client = sessions.served_by(lab, node)[0]
    home = lab.datacentre_of(node).name
    return [
        TransferSpec(
            name=f"{client} {'down' if down else 'up'}",
            netns=lab.netns(client),
            target=lab.service(home).v4,
            target_netns=lab.netns(f"{home}-svc"),
            rate=1e6,
            down=down,
            port=7008 + down,
        )
        for down in (False, True)
    ]


def test_a_quiet_client_is_taken_over_at_its_next_keepalive(lab: Lab, dead: Dead) -> None:
    """It sends a keepalive every 25 s and nothing else, which no timer of its own counts."""
    node = "ams-1"
    client = sessions.bring_client(lab, node)
    time.sleep(2)
    with dead(lab, node):
        owner = wait_for(
            "another node serves it",
            lambda: [n for n in sessions.owners(lab)[client] if n != node],
            25 + WITHIN,
            every=0.5,
        )
        # From inside, without a packet of the client's before.
        ping = Ping(lab.netns("ams-svc"), lab.addresses[client].v4, interval=0.2, count=5)
        with traffic.running([ping]):
            flow = ping.wait(10)
        assert flow.answers, f"{client} is with {owner} and does not answer: {flow}"
    lab.serve(BACK)


def test_datacentres_apart_and_together_again(lab: Lab) -> None:
    """The backbone and the internet between the datacentres break; clients talk on to
    their own side. Afterwards all nodes agree again."""
    links = ("ams-edge_fra-edge", "core1_core2")
    with busy(lab) as probe:
        began = time.time()
        try:
            for link in links:
                lab.power("cut", link)
            time.sleep(8)
            silent = probe.answering(lab.clients, WITHIN)
            assert not silent, silent
        finally:
            for link in links:
                lab.power("restore", link)
        lab.serve(BACK)
        wait_for("the control plane hears from all",
                 lambda: all(n.state == "UP" for n in lab.node_views()), 60, every=1)  # fmt: skip
        wait_quiet("one owner each", lambda: sessions.disputed(lab), 30, every=0.5)
        worst = max(probe.summaries(began).values(), key=lambda each: each.gap)
        assert worst.gap < WITHIN, str(worst)


def test_a_client_that_roams_while_its_node_dies(lab: Lab, dead: Dead) -> None:
    """No node knows its new source port, so nobody may initiate there: it is back by its
    own timer, and ends on one node."""
    node = "fra-2"
    client = sessions.bring_client(lab, node)
    with busy(lab) as probe, dead(lab, node):
        roamed = time.time()
        lab.wg_of(client, "set", "listen-port", str(20000 + secrets.randbelow(20000)))
        silent = probe.answering([client], OWN_TIMER, roamed)
        assert not silent, silent
        wait_quiet("one owner", lambda: [c for c in sessions.disputed(lab) if client in c], AGREED)
    lab.serve(BACK)
