"""What a benchmark says, and the statistics that they share."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """One line of output.

    peer: what the value is held against, something that a reader knows. ratio: value to
    peer_value. target: the value that it must not exceed, where one is set; met: does it?
    """

    benchmark: str
    value: float
    unit: str
    peer: str
    peer_value: float
    notes: str = ""
    target: float | None = None

    @property
    def ratio(self) -> float:
        return self.value / self.peer_value if self.peer_value else math.inf

    @property
    def met(self) -> bool | None:
        return None if self.target is None else self.value <= self.target

    def line(self) -> str:
        """The JSON line; numbers with four significant digits."""
        plain = {
            "benchmark": self.benchmark,
            "value": _round(self.value),
            "unit": self.unit,
            "peer": self.peer,
            "peer_value": _round(self.peer_value),
            "ratio": _round(self.ratio),
            "target": self.target,
            "met": self.met,
            "notes": self.notes,
        }
        return msgspec.json.encode(plain).decode()


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of all do not exceed.

    With few values p99 is their maximum, which is the honest answer.
    """
    if not values:
        raise ValueError("no values")
    ranked = sorted(values)
    return ranked[max(0, math.ceil(share * len(ranked)) - 1)]


def _round(value: float) -> float | None:
    """None for what JSON has no number for."""
    return float(f"{value:.4g}") if math.isfinite(value) else None
