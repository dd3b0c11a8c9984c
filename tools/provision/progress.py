"""Says what set-up is doing, a line for each step that starts or ends, with the time since the start."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self, TextIO

from tools.provision.commands import TAIL_LINES
from tools.provision.graph import Outcome, Step

HEARTBEAT_SECONDS = 20.0


class Progress:
    """A `Reporter` that writes plain lines; what is still running is said every 20 seconds."""

    def __init__(self, out: TextIO = sys.stderr, verbose: bool = False) -> None:
        self.out = out
        self.verbose = verbose
        self.begin = time.monotonic()
        self.lock = threading.Lock()
        self.running: dict[str, float] = {}
        self.stop = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._beat, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop.set()

    def started(self, step: Step) -> None:
        with self.lock:
            self.running[step.name] = time.monotonic()
        self.say(f"{step.name} …")

    def finished(self, outcome: Outcome) -> None:
        with self.lock:
            self.running.pop(outcome.step.name, None)
        for note in outcome.notes:
            self.say(f"{outcome.step.name}: {note}")
        if outcome.state == "skipped":
            if self.verbose:
                self.say(f"{outcome.step.name}: already done")
        elif outcome.state == "done":
            self.say(f"{outcome.step.name}: done in {outcome.seconds:.1f} s")
        else:
            self.say(f"{outcome.step.name}: {outcome.state.upper()}: {outcome.reason}")

    def say(self, text: str) -> None:
        with self.lock:
            self.out.write(f"[{time.monotonic() - self.begin:6.1f} s] {text}\n")
            self.out.flush()

    def _beat(self) -> None:
        while not self.stop.wait(HEARTBEAT_SECONDS):
            with self.lock:
                names = ", ".join(sorted(self.running))
            if names:
                self.say(f"still at work: {names}")


def explain(outcomes: Sequence[Outcome]) -> str:
    """What failed, why, with the last lines of its log, and what to do; empty when nothing failed."""
    parts: list[str] = []
    for outcome in outcomes:
        if outcome.state != "failed":
            continue
        parts.append(f"\nset-up failed at the step '{outcome.step.name}': {outcome.reason}")
        if outcome.log:
            parts += [f"    {line}" for line in last_lines(outcome.log)]
            parts.append(f"  whole log: {outcome.log}")
        parts.append(f"  what to do: {outcome.remedy}")
    return "\n".join(parts)


def last_lines(log: Path) -> list[str]:
    text = log.read_text(errors="replace").splitlines()
    return [line for line in text if line.strip()][-TAIL_LINES:]
