"""One UDP echo stream: when each packet was sent, reached the target, was answered. Pure.

A packet's payload begins with the stream's number and the packet's own, from 0 on.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Iterable
from itertools import pairwise

from tools.measure.wire import Live, StreamSpec, Summary

HEADER = struct.Struct("!IQ")
NOT_YET = 0.0


class Stream:
    """Times are epoch seconds, in lists by packet number, less `_first`."""

    def __init__(self, number: int, spec: StreamSpec) -> None:
        self.spec = spec
        self.number = number
        self._padding = bytes(max(0, spec.size - HEADER.size))
        self._first = 0
        self._sent = array("d")
        self._due = array("d")
        self._echoed = array("d")
        self._answered = array("d")
        self._again: list[float] = []
        self._last_answer = 0.0
        self._since, self._gap = 0.0, 0.0
        self._back: float | None = None

    def send(self, due: float, now: float) -> bytes:
        """The next packet's payload. due: when it should have gone."""
        packet = self._first + len(self._sent)
        self._sent.append(now)
        self._due.append(due)
        self._echoed.append(NOT_YET)
        self._answered.append(NOT_YET)
        return HEADER.pack(self.number, packet) + self._padding

    def echoed(self, packet: int, at: float) -> None:
        self._mark(self._echoed, packet, at)

    def answered(self, packet: int, at: float) -> None:
        if before := max(self._last_answer, self._since):
            self._gap = max(self._gap, at - before)
        place = packet - self._first
        if self._back is None and 0 <= place < len(self._sent) and self._sent[place] > self._since:
            self._back = at
        self._last_answer = max(self._last_answer, at)
        if not self._mark(self._answered, packet, at):
            self._again.append(at)

    def _mark(self, times: array[float], packet: int, at: float) -> bool:
        place = packet - self._first
        if not 0 <= place < len(times):
            return True  # forgotten, or nobody's
        if times[place] != NOT_YET:
            return False
        times[place] = at
        return True

    def forget(self, before: float) -> None:
        """Drop packets sent before that."""
        count = next((n for n, at in enumerate(self._sent) if at >= before), len(self._sent))
        for times in (self._sent, self._due, self._echoed, self._answered):
            del times[:count]
        self._first += count
        self._again = [at for at in self._again if at >= before]

    def live(self, now: float, since: float) -> Live:
        """since: where the longest gap begins to count; 0.0 is the beginning."""
        if since != self._since:
            self._since, self._gap = since, 0.0
            self._back = self._first_answer(since)
        recent = 0
        for at in reversed(self._answered):
            if at != NOT_YET and at < now - 1:
                break
            recent += at != NOT_YET
        silent = now - self._last_answer if self._last_answer else None
        # One that still lasts counts, too.
        lasting = now - max(self._last_answer, since) if self._last_answer or since else 0.0
        gap = max(self._gap, lasting)
        back = None if self._back is None else self._back - since
        return Live(name=self.spec.name, rate=float(recent), silent=silent, gap=gap, back=back)

    def _first_answer(self, since: float) -> float | None:
        """When the first answer to a packet sent after that came."""
        times = zip(self._sent, self._answered, strict=True)
        return min((at for sent, at in times if sent > since and at != NOT_YET), default=None)

    def summary(self, since: float, until: float) -> Summary:
        chosen = [n for n, at in enumerate(self._sent) if since <= at <= until]
        echoed = [self._echoed[n] for n in chosen]
        answered = [self._answered[n] for n in chosen]
        back = min((at for at in answered if at != NOT_YET), default=None)
        return Summary(
            name=self.spec.name,
            sent=len(chosen),
            lost_up=echoed.count(NOT_YET),
            lost_down=sum(
                there != NOT_YET and here == NOT_YET
                for there, here in zip(echoed, answered, strict=True)
            ),
            gap=longest_gap(answered, since, until),
            gap_up=longest_gap(echoed, since, until),
            back=None if back is None else back - since,
            late=max((self._sent[n] - self._due[n] for n in chosen), default=0.0),
            again=sum(since <= at for at in self._again),
        )


def longest_gap(times: Iterable[float], since: float, until: float) -> float:
    """Longest time between two arrivals; without any, the whole time.

    A silence at the beginning or the end counts, too.
    """
    arrived = sorted(at for at in times if at != NOT_YET)
    if not arrived:
        return until - since
    inner = max((later - earlier for earlier, later in pairwise(arrived)), default=0.0)
    return max(inner, arrived[0] - since, until - arrived[-1])
