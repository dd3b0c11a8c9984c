"""What a planned drain costs those who are drained: `anycastle node drain NAME --wait`.

Three measurements on the lab's real wireguard-go clients behind NAT:

- echo streams of 200 packets a second for every client, and a TCP transfer (congestion
  control cubic) up from a client of one site and down to one of the other, while one node
  after the other is drained and resumed: packets lost in each direction, the longest gap,
  what TCP had to send again;
- the same while a node resumes, when clients come back to it;
- a rolling drain of every node in turn, with 20 Mbit/s up and down through one client of
  each site.

Peer: the same drains with takeover switched off; of the rolling drain, the same streams for
as long while nothing happens, because on few cores 20 Mbit/s each way is a load of its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Literal

import msgspec

from benchmarks.journal import Journal
from benchmarks.options import Options, say
from benchmarks.result import Result, quantile
from tests.support import sessions
from tests.support.lab import CommandFailed, Lab
from tools.measure import overflow
from tools.measure.probing import Answer, Probing, TransferSpec, probing

GAP_TARGET = 50.0
RATE = 200.0
TCP_RATE = 10e6
BULK_RATE, BULK_SIZE = 20e6, 1200
DEADLINE = 40
"""Seconds for sessions to leave; without takeover they stay, and the drain ends by this."""
SETTLING = 3.0
"""Seconds that a measurement goes on after the drain, or the return, is over."""
PASSIVE_WAIT = 150.0
"""Seconds in which a client without takeover has come to itself in any case: the timers of
the node that is alive, and silent about its loss, keep the client's own from firing."""


Name = Literal["drain", "resume", "rolling", "quiet"]


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """Over all streams while `phase` went on. gap: seconds, the longest; late: the sender's
    own worst lateness in that time. took: seconds until the command came back. full:
    datagrams that sockets of the lab's hosts had no room for meanwhile, nodes and clients;
    who loses those is slow, and not misled."""

    node: str
    phase: Name
    sessions: int
    sent: int
    lost_up: int
    lost_down: int
    gap: float
    late: float
    took: float
    tcp_gap: float = 0.0
    tcp_again: int = 0
    tcp_bytes: int = 0
    tcp_broken: str = ""
    full: int = 0


def run(lab: Lab, options: Options) -> Iterator[Result]:
    active = drains(lab, "takeover", options.drains, options)
    rolling = rolls(lab, options)
    with sessions.takeover_off(lab):
        passive = drains(lab, "passive", options.passive_drains, options)
    yield from results(active, passive, rolling)


def drains(lab: Lab, mode: str, number: int, options: Options) -> list[Phase]:
    """Two phases for each drain."""
    journal = Journal(f"drain-{mode}", Phase, resume=options.resume)
    while sum(each.phase == "drain" for each in journal.entries) < number:
        count = sum(each.phase == "drain" for each in journal.entries)
        node = lab.nodes[count % len(lab.nodes)]
        lab.serve(400)
        if mode == "passive":
            lab.reconnect(lab.clients)
        sessions.bring_client(lab, node)
        with probing(sessions.streams(lab, rate=RATE), transfers(lab)) as probe:
            wait = 0.0 if mode == "takeover" else PASSIVE_WAIT
            for done in drained(lab, probe, node, wait):
                journal.add(done)
                say(f"drain, {mode}, {count + 1} of {number}: {shown(done)}")
    return journal.entries


def rolls(lab: Lab, options: Options) -> list[Phase]:
    """Every node in turn, each resumed before the next is drained."""
    journal = Journal("drain-rolling", Phase, resume=options.resume)
    done = {entry.node for entry in journal.entries}
    rest = [node for node in lab.nodes if node not in done]
    if not rest:
        return journal.entries
    first = [lab.clients_of(site)[0] for site in ("site1", "site2")]
    specs = sessions.streams(lab, first, rate=BULK_RATE / 8 / BULK_SIZE, size=BULK_SIZE)
    lab.serve(400)
    with probing(specs) as probe:
        for node in rest:
            probe.answering(first, 30)
            count, began, rooms = len(sessions.served_by(lab, node)), time.time(), full(lab)
            took = command(lab, "drain", node)
            command(lab, "resume", node)
            time.sleep(SETTLING)
            found = probe.window(began, forget=True)
            rolled = phase(
                "rolling", node, count, took, found, full=overflow.since(rooms, full(lab))
            )
            began, length, rooms = time.time(), time.time() - began, full(lab)
            time.sleep(length)
            found = probe.window(began, forget=True)
            quiet = phase(
                "quiet", node, count, length, found, full=overflow.since(rooms, full(lab))
            )
            for entry in (rolled, quiet):
                journal.add(entry)
                say(f"rolling: {shown(entry)}")
    return journal.entries


def drained(lab: Lab, probe: Probing, node: str, wait: float) -> Iterator[Phase]:
    """Drain and resume. wait: seconds at most for silent clients, beyond SETTLING."""
    probe.answering(lab.clients, 30)
    time.sleep(sessions.REPORTED)
    try:
        for verb in ("drain", "resume"):
            count, began, rooms = len(sessions.served_by(lab, node)), time.time(), full(lab)
            took = command(lab, verb, node, may_fail=bool(wait))
            time.sleep(SETTLING)
            if wait:
                probe.answering(lab.clients, wait)
            name: Name = "drain" if verb == "drain" else "resume"
            found = probe.window(began, forget=True)
            yield phase(name, node, count, took, found, full=overflow.since(rooms, full(lab)))
    finally:
        lab.cli("node", "resume", node)


def command(lab: Lab, verb: str, node: str, *, may_fail: bool = False) -> float:
    """Seconds that `anycastle node VERB NODE --wait` took. Raises CommandFailed."""
    began = time.monotonic()
    deadline = ["--deadline", f"{DEADLINE}s"] if verb == "drain" else []
    done = lab.cli("node", verb, node, "--wait", *deadline)
    if done.returncode and not may_fail:
        raise CommandFailed(f"node {verb} {node}: {done.stderr.decode()}")
    return time.monotonic() - began


def transfers(lab: Lab) -> list[TransferSpec]:
    """Up from the first site's first client, down to the second's."""
    specs = []
    for number, site in enumerate(("site1", "site2")):
        client = lab.clients_of(site)[0]
        home = lab.home(client).name
        specs.append(
            TransferSpec(
                name=f"{client} {'down' if number else 'up'}",
                netns=lab.netns(client),
                target=lab.service(home).v4,
                target_netns=lab.netns(f"{home}-svc"),
                rate=TCP_RATE,
                down=bool(number),
            )
        )
    return specs


def full(lab: Lab) -> dict[str, int]:
    """By namespace, as `overflow.counts` says it."""
    return overflow.counts(lab.netns(host) for host in (*lab.nodes, *lab.clients))


def phase(name: Name, node: str, count: int, took: float, found: Answer, *, full: int) -> Phase:
    return Phase(
        node=node,
        phase=name,
        sessions=count,
        sent=sum(each.sent for each in found.summaries),
        lost_up=sum(each.lost_up for each in found.summaries),
        lost_down=sum(each.lost_down for each in found.summaries),
        gap=max(each.gap for each in found.summaries),
        late=max(each.late for each in found.summaries),
        took=took,
        tcp_gap=max((each.gap for each in found.moved), default=0.0),
        tcp_again=sum(each.retransmitted for each in found.moved),
        tcp_bytes=sum(each.received for each in found.moved),
        tcp_broken=" ".join(each.broken for each in found.moved if each.broken),
        full=full,
    )


def results(
    active: Sequence[Phase], passive: Sequence[Phase], rolling: Sequence[Phase]
) -> Iterator[Result]:
    for name in ("drain", "resume"):
        ours = [each for each in active if each.phase == name]
        if not ours:
            continue  # --drains 0: the rolling one alone
        theirs = [each for each in passive if each.phase == name]
        peer = f"a {'drain' if name == 'drain' else 'return'} with takeover off"
        yield from echoes(name, ours, theirs, peer, f"{RATE:.0f} packets/s a client")
        yield from tcp(name, ours, theirs)
    ours = [each for each in rolling if each.phase == "rolling"]
    quiet = [each for each in rolling if each.phase == "quiet"]
    yield from echoes(
        "rolling", ours, quiet, "the same streams, nothing drained", "20 Mbit/s up and down a site"
    )


def echoes(
    name: str, ours: Sequence[Phase], theirs: Sequence[Phase], peer: str, load: str
) -> Iterator[Result]:
    notes = (
        f"{len(ours)} times, {load}, {sum(each.sent for each in ours)} packets, "
        f"{sum(each.sessions for each in ours)} sessions on the nodes at the beginning, "
        f"{sum(each.full for each in ours)} datagrams met a full socket; "
        f"peer {len(theirs)} times"
    )
    for way, field in (("up", "lost_up"), ("down", "lost_down")):
        yield Result(
            benchmark=f"drain.{name}.lost_{way}",
            value=sum(getattr(each, field) for each in ours),
            unit="packets",
            peer=f"{peer}, as many times",
            peer_value=_mean([getattr(each, field) for each in theirs]) * len(ours),
            target=0,
            notes=notes,
        )
    late = max(each.late for each in ours)
    yield Result(
        benchmark=f"drain.{name}.longest_gap",
        value=1000 * max(each.gap for each in ours),
        unit="ms",
        peer=peer,
        peer_value=1000 * max((each.gap for each in theirs), default=0.0),
        target=GAP_TARGET,
        notes=f"{notes}; median of the longest gaps "
        f"{1000 * quantile([each.gap for each in ours], 0.5):.0f} ms; the sender itself was late "
        f"by up to {1000 * late:.0f} ms",
    )


def tcp(name: str, ours: Sequence[Phase], theirs: Sequence[Phase]) -> Iterator[Result]:
    notes = (
        f"{len(ours)} times, cubic, {TCP_RATE / 1e6:.0f} Mbit/s up and down, "
        f"{sum(each.tcp_bytes for each in ours) / 1e6:.0f} MB; "
        f"broken: {' '.join(each.tcp_broken for each in ours if each.tcp_broken) or 'none'}"
    )
    peer = "with takeover off"
    yield Result(
        benchmark=f"drain.{name}.tcp_retransmitted",
        value=sum(each.tcp_again for each in ours),
        unit="segments",
        peer=f"{peer}, as many times",
        peer_value=_mean([each.tcp_again for each in theirs]) * len(ours),
        target=0,
        notes=notes,
    )
    yield Result(
        benchmark=f"drain.{name}.tcp_longest_gap",
        value=1000 * max(each.tcp_gap for each in ours),
        unit="ms",
        peer=peer,
        peer_value=1000 * max((each.tcp_gap for each in theirs), default=0.0),
        target=GAP_TARGET,
        notes=notes,
    )


def shown(done: Phase) -> str:
    return (
        f"{done.phase} of {done.node} ({done.sessions} sessions, {done.took:.1f} s): "
        f"{done.lost_up} up, {done.lost_down} down lost of {done.sent}, "
        f"gap {1000 * done.gap:.0f} ms (sender late by {1000 * done.late:.0f}), "
        f"TCP {done.tcp_again} again, gap {1000 * done.tcp_gap:.0f} ms, {done.full} met a full socket"
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
