"""Measured traffic: pings whose losses and gaps are counted to the packet.

`ping -D` prints one line per answer with its time, so the losses are known by number
and the longest silence by clock. It runs in the host's network namespace, not in the
host: measuring needs nothing installed there, and starts in a millisecond.
"""

from __future__ import annotations

import itertools
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

ANSWER = re.compile(rb"^\[(\d+\.\d+)\] \d+ bytes from .*icmp_seq=(\d+) ", re.MULTILINE)
SENT = re.compile(rb"^(\d+) packets transmitted", re.MULTILINE)


@dataclass(frozen=True)
class Flow:
    """What one ping saw. sent: how many. answers: sequence number -> epoch seconds.

    interval: seconds between two. Whatever was still on its way when the ping was
    stopped (`pending`) counts as neither answered nor lost.
    """

    name: str
    interval: float
    sent: int
    answers: dict[int, float]
    pending: int = 0

    @property
    def lost(self) -> list[int]:
        return [n for n in range(1, self.sent - self.pending + 1) if n not in self.answers]

    @property
    def longest_gap(self) -> float:
        """Longest time between two answers, seconds; infinite with fewer than two."""
        moments = sorted(self.answers.values())
        gaps = [after - before for before, after in itertools.pairwise(moments)]
        return max(gaps, default=float("inf"))

    @property
    def last_answer(self) -> float:
        """Epoch seconds; 0.0 without any."""
        return max(self.answers.values(), default=0.0)

    def answered_after(self, moment: float) -> float | None:
        """Seconds from `moment` (epoch) to the first answer after it."""
        later = [at for at in self.answers.values() if at > moment]
        return min(later) - moment if later else None

    def __str__(self) -> str:
        lost, gap = self.lost, self.longest_gap
        shown = ", ".join(map(str, lost[:8])) + (", …" if len(lost) > 8 else "")
        return f"{self.name}: {len(lost)} of {self.sent} lost [{shown}], longest gap {gap:.3f} s"


def parse(output: bytes, name: str, interval: float, grace: float) -> Flow:
    """grace: seconds before the stop within which a missing answer is no loss.

    Raises ValueError when ping printed no statistics, so did not run to its end.
    """
    summary = SENT.search(output)
    if summary is None:
        raise ValueError(f"{name}: ping did not end well: {output[-300:].decode(errors='replace')}")
    answers = {int(number): float(at) for at, number in reversed(ANSWER.findall(output))}
    sent = int(summary[1])
    return Flow(name, interval, sent, answers, min(sent, int(grace / interval)))


class Ping:
    """A ping that runs in a network namespace. count: packets; 0: until stopped."""

    def __init__(
        self,
        netns: str,
        target: str,
        *,
        interval: float = 0.05,
        count: int = 0,
        options: Sequence[str] = (),
        name: str = "",
    ) -> None:
        self.name = name or f"{netns} -> {target}"
        self.interval = interval
        self.count = count
        self._output: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed in stop()
        command = ["ip", "netns", "exec", netns, "ping", "-n", "-D", "-i", f"{interval:g}"]
        command += ["-c", str(count)] if count else []
        self._process = subprocess.Popen(
            [*command, *options, target], stdout=self._output, stderr=subprocess.STDOUT
        )

    def wait(self, timeout: float) -> Flow:
        """The flow of a ping that ends by itself; every loss counts."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGINT)
        return self._finish(grace=0.0)

    def stop(self, grace: float = 1.0) -> Flow:
        self._process.send_signal(signal.SIGINT)
        return self._finish(grace)

    def answers(self) -> dict[int, float]:
        """Those until now."""
        self._output.flush()
        with open(f"/proc/self/fd/{self._output.fileno()}", "rb") as reader:  # noqa: PTH123
            return {int(number): float(at) for at, number in ANSWER.findall(reader.read())}

    def _finish(self, grace: float) -> Flow:
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.seek(0)
        output = self._output.read()
        self._output.close()
        return parse(output, self.name, self.interval, grace)

    def abandon(self) -> None:
        """End it without a result."""
        if not self._output.closed:
            self._process.kill()
            self._process.wait()
            self._output.close()


@contextmanager
def running(pings: Iterable[Ping]) -> Iterator[list[Ping]]:
    """Pings that run while the block does; stopped on every way out."""
    started = list(pings)
    try:
        yield started
    finally:
        for ping in started:
            ping.abandon()


def stop_all(pings: Iterable[Ping]) -> list[Flow]:
    return [ping.stop() for ping in pings]


def assert_lossless(flows: Iterable[Flow]) -> None:
    """Raises AssertionError that lists the flows with a loss, or without a packet."""
    bad = [str(flow) for flow in flows if flow.lost or not flow.answers]
    assert not bad, "\n".join(["packets were lost:", *bad])


def now() -> float:
    """The clock that answers are stamped with: epoch seconds."""
    return time.time()
