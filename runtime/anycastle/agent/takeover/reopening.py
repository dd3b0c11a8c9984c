"""When is the packet path to be let go, and one to be chosen again? Pure.

- When other settings were read: another kind, or room for another number of clients.
- When there is none: what kept every kind from working may be over (memory was short, nft was
  being upgraded). Tried again after FIRST, then after twice that each time, up to LAST.
"""

from __future__ import annotations

import math

from anycastle.model.deployment import Takeover

FIRST, LAST = 10.0, 300.0
"""Seconds."""


class Reopening:
    """Times are monotonic."""

    def __init__(self) -> None:
        self._wish: Takeover | None = None
        self._at = math.inf
        self._pause = FIRST

    def opened(self, wish: Takeover, kind: str, now: float) -> None:
        """A path of this kind was chosen for these settings; `none`: there is none."""
        if kind != "none" or wish != self._wish:
            self._pause = FIRST
        self._wish, self._at = wish, math.inf
        if kind == "none":
            self._at = now + self._pause
            self._pause = min(2 * self._pause, LAST)

    def due(self, wish: Takeover, now: float) -> bool:
        """Is the one that was chosen last to be let go? wish: the settings of now."""
        return self._wish is not None and (wish != self._wish or now >= self._at)
