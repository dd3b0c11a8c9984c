"""How long a busy client is cut off when its node's power goes.

Stock clients (wireguard-go) behind a NAT router send 100 packets a second each to the
service in their datacentre. One node after the other is killed at once, with all that
runs on it, and started again. The outage of a client that it served: from the moment at
which the node falls silent to the first answer to a packet sent after it. Detection (BFD), routing and takeover are all in it.

Peer: the same with takeover switched off, where the client's own timer has to notice.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import msgspec

from benchmarks.journal import Journal
from benchmarks.options import Options, say
from benchmarks.result import Result, quantile
from tests.support import sessions
from tests.support.lab import Lab
from tests.support.waiting import NotInTime
from tools.measure.probing import Probing, probing

P50_TARGET, P99_TARGET = 0.5, 1.0
RATE = 100.0
PATIENCE = 60.0
"""Seconds after which an outage counts as this long."""


class Kill(msgspec.Struct, frozen=True, kw_only=True):
    """outages: seconds, by client that the node served. others: of the rest, the longest
    gap, which is the network's and the machine's own jitter."""

    node: str
    outages: dict[str, float]
    others: float


def run(lab: Lab, options: Options) -> Iterator[Result]:
    routings = sorted({lab.routing_of(node) for node in lab.nodes})
    active = {
        routing: kills(lab, routing, "takeover", options.kills, options) for routing in routings
    }
    with sessions.takeover_off(lab):
        passive = {
            routing: kills(lab, routing, "passive", options.passive_kills, options)
            for routing in routings
        }
    for routing in routings:
        yield from results(routing, active[routing], passive[routing])


def results(routing: str, active: Sequence[Kill], passive: Sequence[Kill]) -> Iterator[Result]:
    ours = [outage for kill in active for outage in kill.outages.values()]
    theirs = [outage for kill in passive for outage in kill.outages.values()]
    notes = (
        f"{len(active)} kills, {len(ours)} cut-off wireguard-go clients behind NAT, "
        f"{RATE:.0f} packets/s each; longest {max(ours):.2f} s; peer: {len(passive)} kills, "
        f"{len(theirs)} clients; longest gap of clients of other nodes "
        f"{max(kill.others for kill in active):.2f} s"
    )
    for share, label, target in ((0.5, "p50", P50_TARGET), (0.99, "p99", P99_TARGET)):
        yield Result(
            benchmark=f"outage.{routing}.{label}",
            value=quantile(ours, share),
            unit="s",
            peer="the same with takeover off",
            peer_value=quantile(theirs, share),
            target=target,
            notes=notes,
        )


def kills(lab: Lab, routing: str, mode: str, number: int, options: Options) -> list[Kill]:
    """That many, on the nodes with that driver in turn."""
    journal = Journal(f"outage-{routing}-{mode}", Kill, resume=options.resume)
    nodes = [node for node in lab.nodes if lab.routing_of(node) == routing]
    while len(journal.entries) < number:
        node = nodes[len(journal.entries) % len(nodes)]
        prepare(lab, node, reconnect=mode == "passive")
        with probing(sessions.streams(lab, rate=RATE)) as probe:
            done = one_kill(lab, probe, node)
        journal.add(done)
        worst = max(done.outages.values(), default=0.0)
        say(
            f"outage, {routing}, {mode}, {len(journal.entries)} of {number}: {node} killed, "
            f"{len(done.outages)} clients cut off, longest {worst:.2f} s"
        )
    return journal.entries


def prepare(lab: Lab, node: str, *, reconnect: bool) -> None:
    """Everybody serves, each client has one owner, and the node has one at least.

    reconnect: cut sessions that stayed elsewhere; without takeover they stay for minutes.
    """
    lab.serve(400)  # a node that was killed often is held down for up to 300 s
    if reconnect:
        lab.reconnect(lab.clients)
    sessions.bring_client(lab, node)


def one_kill(lab: Lab, probe: Probing, node: str) -> Kill:
    if silent := probe.answering(lab.clients, PATIENCE):
        raise NotInTime(f"before the kill: no echo for {', '.join(silent)}")
    time.sleep(sessions.REPORTED)
    victims = sessions.served_by(lab, node)
    if not victims:
        raise NotInTime(f"before the kill: {node} serves nobody any more")
    with sessions.revived(lab, node):
        killed = sessions.kill(lab, node)
        probe.answering(victims, PATIENCE, killed)
        time.sleep(1)
        found = probe.summaries(killed)
    outages = {name: min(found[name].back or PATIENCE, PATIENCE) for name in victims}
    others = [each.gap for name, each in found.items() if name not in victims]
    return Kill(node=node, outages=outages, others=max(others, default=0.0))
