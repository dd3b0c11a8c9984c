"""Many peers stopped being heard at once, while this node goes on sending to them.

One silent peer is a client that went away, a handful is a site whose path moved to
another node. When nearly all of many that were heard a moment ago fall silent together,
the node's receive path is broken, or its way back. Only clients that this node owns
count: who has a newer session elsewhere is silent here for a good reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate
from anycastle.model.codec import Key

WINDOW = 10.0
"""Seconds over which a peer has to be silent. Keepalives make clients send every 25 s, but
a client that is sent to answers within 10 s (WireGuard's passive keepalive)."""
FRACTION = 0.9
ENOUGH = 16
"""Active peers below which nothing can be concluded."""

Counters = Mapping[Key, tuple[int, int]]
"""(received, sent) bytes of each peer."""


@dataclass
class Watch:
    """Counters at the ends of the last two windows."""

    around: Surroundings
    taken: list[tuple[float, Counters]] = field(default_factory=list)
    verdict: str = ""

    def complaint(self) -> str:
        now = self.around.now()
        if not self.taken or now - self.taken[-1][0] >= WINDOW:
            owned = self.around.owned()
            counters = {
                s.public_key: (s.received, s.sent)
                for s in self.around.samples
                if s.public_key in owned
            }
            self.taken = [*self.taken[-2:], (now, counters)]
            self.verdict = judge([counters for _, counters in self.taken])
        return self.verdict


def probe(around: Surroundings) -> Probe:
    return Probe("stall", Severity.SOFT, immediate(Watch(around).complaint))


def judge(taken: Sequence[Counters]) -> str:
    """Three successive readings: heard in the first window, sent to in the second?"""
    if len(taken) < 3:
        return ""
    active, silent = stalled(*taken)
    if active < ENOUGH or silent < FRACTION * active:
        return ""
    return f"{silent} of {active} active peers are sent to, but no longer heard"


def stalled(first: Counters, second: Counters, third: Counters) -> tuple[int, int]:
    """(peers heard between the first two and sent to since, those of them not heard since)."""
    active = silent = 0
    for key, (received, sent) in third.items():
        before, earlier = second.get(key), first.get(key)
        if before is None or earlier is None:
            continue
        if before[0] > earlier[0] and sent > before[1]:
            active += 1
            silent += received <= before[0]
    return active, silent
