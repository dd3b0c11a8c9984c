"""How long the long benchmarks take, and their progress."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

BEGAN = time.monotonic()


@dataclass(frozen=True)
class Options:
    """kills, passive_kills: of nodes, for each routing driver, with takeover and without.
    clients, crowd_kills: simulated ones on the node that dies, and how often. drains:
    planned ones. resume: what an interrupted run measured counts (benchmarks/journal.py).
    """

    kills: int = 30
    passive_kills: int = 3
    clients: int = 1000
    crowd_kills: int = 3
    drains: int = 20
    passive_drains: int = 2
    resume: bool = False


def say(text: str) -> None:
    """A line of progress on stderr."""
    sys.stderr.write(f"[{time.monotonic() - BEGAN:7.1f} s] {text}\n")
    sys.stderr.flush()
