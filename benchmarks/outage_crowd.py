"""The same outage with a thousand clients on the node that dies.

Most of them are simulated (tests/support/simulated_client.py: the whole protocol and its
timers, one UDP socket each, one process), all behind the NAT router of one site, so one
source address; each pings through its tunnel twice a second. Beside them the lab's real
wireguard-go clients send 20 packets a second. What is counted tells the two apart.

For a simulated client the outage ends with the first answer to a ping sent after the
kill, so half a second of it may be the pings' own spacing.

Peer: the same with takeover switched off, once.
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
from tests.support.simulated_crowd import SimulatedCrowd, simulated
from tools.measure.probing import Probing, probing

P99_TARGET = 3.0
PATIENCE = 60.0
INTERVAL = 0.5
RATE = 20.0


class CrowdKill(msgspec.Struct, frozen=True, kw_only=True):
    """Outages in seconds, PATIENCE for who was not back by then. cookies: replies that
    simulated clients got meanwhile. several: clients that more than one node says it serves
    afterwards, or none. busy: CPU seconds of the simulation itself."""

    node: str
    simulated: list[float]
    real: list[float]
    missing: int
    cookies: int
    several: int
    busy: float


def run(lab: Lab, options: Options) -> Iterator[Result]:
    node = lab.deployment.datacentres[0].nodes[0].name
    active = Journal("outage-crowd-takeover", CrowdKill, resume=options.resume)
    passive = Journal("outage-crowd-passive", CrowdKill, resume=options.resume)
    missing = max(0, options.crowd_kills - len(active.entries))
    if missing or not passive.entries:
        say(f"enrolling {options.clients} simulated clients")
        with simulated(lab, sessions.site_of(lab, node), options.clients, INTERVAL) as crowd:
            say("connecting them")
            crowd.connect()
            for _ in range(missing):
                active.add(one_kill(lab, crowd, node, "takeover"))
            if not passive.entries:
                with sessions.takeover_off(lab):
                    passive.add(one_kill(lab, crowd, node, "passive"))
    yield from results(node, active.entries, passive.entries)


def results(
    node: str, active: Sequence[CrowdKill], passive: Sequence[CrowdKill]
) -> Iterator[Result]:
    """One line for each kind of client and quantile, and one for cookies."""
    missing = sum(kill.missing for kill in active)
    peer = "the same with takeover off"
    for kind in ("simulated", "real"):
        ours = [outage for kill in active for outage in getattr(kill, kind)]
        theirs = [outage for kill in passive for outage in getattr(kill, kind)]
        if not ours or not theirs:
            continue
        notes = (
            f"{kind} clients: {len(ours)} outages in {len(active)} kills of {node}, "
            f"peer {len(theirs)} in {len(passive)}; all behind one NAT address; "
            f"{missing} not back within {PATIENCE:.0f} s; "
            f"{sum(kill.several for kill in active)} without exactly one owner"
        )
        for share, label in ((0.5, "p50"), (0.99, "p99")):
            yield Result(
                benchmark=f"outage_crowd.{kind}.{label}",
                value=quantile(ours, share),
                unit="s",
                peer=peer,
                peer_value=quantile(theirs, share),
                target=P99_TARGET if label == "p99" else None,
                notes=notes,
            )
    yield Result(
        benchmark="outage_crowd.cookie_replies",
        value=sum(kill.cookies for kill in active),
        unit="messages",
        peer=peer,
        peer_value=sum(kill.cookies for kill in passive),
        target=0,
        notes="counted by the simulated clients; any means that a node was under load",
    )


def one_kill(lab: Lab, crowd: SimulatedCrowd, node: str, mode: str) -> CrowdKill:
    lab.serve(400)
    crowd.gather(lab, node, say)
    sessions.bring_client(lab, node)
    with probing(sessions.streams(lab, rate=RATE)) as probe:
        probe.answering(lab.clients, PATIENCE)
        time.sleep(sessions.REPORTED)
        done = _measured(lab, crowd, probe, node)
    say(
        f"crowd, {mode}: {node} killed, simulated p50 {quantile(done.simulated, 0.5):.2f} s, "
        f"p99 {quantile(done.simulated, 0.99):.2f} s, {done.missing} missing, "
        f"{done.cookies} cookie replies, real {[f'{outage:.2f}' for outage in done.real]}"
    )
    return done


def _measured(lab: Lab, crowd: SimulatedCrowd, probe: Probing, node: str) -> CrowdKill:
    victims = sessions.served_by(lab, node)
    before = crowd.report()
    with sessions.revived(lab, node):
        killed = sessions.kill(lab, node, crowd.mark)
        after = crowd.all_back(PATIENCE)
        probe.answering(victims, max(1.0, killed + PATIENCE - time.time()), killed)
        time.sleep(2)  # agents report what they serve with a delay of about one
        several = sum(len(found) != 1 for found in crowd.owners(lab).values())
        found = probe.summaries(killed)
    return CrowdKill(
        node=node,
        simulated=[PATIENCE if c.back is None else c.back for c in after.clients],
        real=[min(found[name].back or PATIENCE, PATIENCE) for name in victims],
        missing=sum(c.back is None for c in after.clients),
        cookies=after.counters["cookies"] - before.counters["cookies"],
        several=several,
        busy=after.busy - before.busy,
    )
