"""`python -m tools.deploy gate`: passes or fails a deployment, over the bake time."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tools.deploy import verdict
from tools.deploy.verdict import Gate, Limits, Phase, Status

COMMAND = ("anycastle", "status", "--json")
ASK_SECONDS = 30.0

Ask = Callable[[], Status | str]
Say = Callable[[str], None]


def ask(command: Sequence[str] = COMMAND) -> Status | str:
    """One sample, or why there is none."""
    try:
        ended = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=ASK_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if ended.returncode:
        return ended.stderr.decode(errors="replace").strip() or f"exit code {ended.returncode}"
    try:
        return msgspec.json.decode(ended.stdout, type=Status)
    except msgspec.MsgspecError as error:
        return f"unreadable: {error}"


def read(file: Path | None) -> Status | None:
    """A status that was kept before the `up`; a deployment's first `up` has none."""
    if file is None or not file.exists() or not file.stat().st_size:
        return None
    return msgspec.json.decode(file.read_bytes(), type=Status)


@dataclass(frozen=True)
class Time:
    """The clock, and what passes it."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def watch(gate: Gate, interval: float, ask: Ask, say: Say, time: Time = Time()) -> Gate:
    """Samples until the gate has decided; says what changes."""
    while not gate.decided:
        before = gate
        gate = verdict.step(gate, ask(), time.clock())
        if (gate.phase, gate.reasons) != (before.phase, before.reasons):
            say(describe(gate))
        if not gate.decided:
            time.sleep(interval)
    return gate


def describe(gate: Gate) -> str:
    return gate.phase.value + (f": {'; '.join(gate.reasons)}" if gate.reasons else "")


def run(datacentre: str, before: Path | None, limits: Limits, interval: float) -> int:
    """Exit code: 0 for a healthy deployment."""
    gate = verdict.begin(datacentre, read(before), limits, time.monotonic())
    ended = watch(gate, interval, ask, lambda text: print(text, flush=True))
    return 0 if ended.phase is Phase.PASSED else 1
