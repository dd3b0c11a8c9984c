"""The prober as its user sees it: streams that run while a block does, and what became of them."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import msgspec

from tools.measure.wire import (
    Answer,
    Live,
    Moved,
    Question,
    Setup,
    StreamSpec,
    Summary,
    TransferSpec,
)
from tools.places import CHECKOUT

GRACE = 1.0
"""Seconds that an answer may take before it counts as lost."""


class ProberGone(Exception):
    """The measuring process ended. The message has what it said."""


class Probing:
    """A running prober. Raises ProberGone from every method when it died."""

    def __init__(
        self, streams: Sequence[StreamSpec], transfers: Sequence[TransferSpec] = ()
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tools.measure.prober"],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            self._ask(Setup(streams=tuple(streams), transfers=tuple(transfers)))
        except BaseException:
            self.close()
            raise

    def live(self, since: float = 0.0) -> dict[str, Live]:
        """By stream. since: epoch seconds at which the longest gap begins to count."""
        return {each.name: each for each in self._ask(Question(ask="live", since=since)).live}

    def window(self, since: float, until: float | None = None, *, forget: bool = False) -> Answer:
        """What became of everything sent from `since` to `until` (epoch seconds; None: now).

        Waits until what was sent last had GRACE seconds to come back.
        """
        end = time.time() if until is None else until
        time.sleep(max(0.0, end + GRACE - time.time()))
        return self._ask(Question(ask="summary", since=since, until=end, forget=forget))

    def summaries(
        self, since: float, until: float | None = None, *, forget: bool = False
    ) -> dict[str, Summary]:
        answer = self.window(since, until, forget=forget)
        return {each.name: each for each in answer.summaries}

    def moved(self, since: float, until: float | None = None) -> dict[str, Moved]:
        return {each.name: each for each in self.window(since, until).moved}

    def answering(self, names: Sequence[str], timeout: float, since: float = 0.0) -> list[str]:
        """Wait until all these streams are answered; those that still are not, in the end.

        since: only answers to packets sent after it count (epoch seconds; 0.0: now).
        """
        since = since or time.time()
        deadline = time.monotonic() + timeout
        while True:
            now = self.live(since)
            silent = [name for name in names if now[name].back is None]
            if not silent or time.monotonic() > deadline:
                return silent
            time.sleep(0.1)

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, said: Setup | Question) -> Answer:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode(said) + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            assert self._process.stderr is not None
            words = self._process.stderr.read().decode(errors="replace")
            raise ProberGone(words[-2000:] or f"ended with {self._process.wait()}")
        return msgspec.json.decode(line, type=Answer)


@contextmanager
def probing(
    streams: Sequence[StreamSpec], transfers: Sequence[TransferSpec] = ()
) -> Iterator[Probing]:
    """Raises ProberGone when it can't begin."""
    started = Probing(streams, transfers)
    try:
        yield started
    finally:
        started.close()


__all__ = ["Answer", "Live", "Moved", "ProberGone", "Probing", "StreamSpec", "Summary",
           "TransferSpec", "probing"]  # fmt: skip
