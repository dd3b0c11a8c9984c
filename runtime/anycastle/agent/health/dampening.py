"""How long a node that failed has to be well before it announces again.

Each failure adds one to a penalty, which decays exponentially while the node is well
(as in route flap dampening, RFC 2439 section 4.2): half of it is gone after HALF_LIFE
seconds. The hold-down doubles with each point of penalty, up to the configured maximum,
and counts from the last moment that was bad.

A crash of the agent is a failure as well, but the first one is free: systemd has
the agent back within a second, and the data path never stopped. A loop of crashes
holds the node down like any other flapping. To that end the history outlives the
process, in a file under /run (`store`, `load`): it is about this boot, and its times
are those of the monotonic clock, which all processes of one boot share.
"""

from __future__ import annotations

import math
from pathlib import Path

import msgspec

from anycastle.model.deployment import Health

HALF_LIFE = 300.0
"""Seconds in which a penalty halves."""
FORGIVEN = 0.5
"""A smaller penalty demands nothing: one failure is forgotten after a half-life."""


class History(msgspec.Struct, frozen=True, kw_only=True):
    """What a node remembers of its failures.

    penalty: at time `at` (monotonic seconds), the last bad moment. hold: seconds of
    health after it that the last failure demands. running: an agent works with this history; found true at start,
    its predecessor crashed.
    """

    penalty: float = 0.0
    at: float = 0.0
    hold: float = 0.0
    running: bool = False


def penalty(history: History, now: float) -> float:
    """The penalty that is left at `now`."""
    return history.penalty * math.exp2(-max(0.0, now - history.at) / HALF_LIFE)


def held(history: History, now: float) -> float:
    """Seconds for which the node still has to hold back, 0.0 when it need not."""
    if penalty(history, now) < FORGIVEN:
        return 0.0
    return max(0.0, history.at + history.hold - now)


def failing(history: History, now: float) -> History:
    """History of a node that is still not well: nothing decays, the wait starts anew."""
    return msgspec.structs.replace(history, at=now)


def failed(history: History, now: float, health: Health) -> History:
    """History after a failure at `now`."""
    before = penalty(history, now)
    return _after(history, before + 1, now, hold_down(before, health), health)


def crashed(history: History, now: float, health: Health) -> History:
    """History after the agent died without saying good-bye."""
    before = penalty(history, now)
    hold = 0.0 if before < FORGIVEN else hold_down(before - 1, health)
    return _after(history, before + 1, now, hold, health)


def hold_down(doublings: float, health: Health) -> float:
    """Seconds to hold down after this many doublings (fractions count)."""
    exponent = min(max(doublings, 0.0), 64.0)
    return float(min(health.hold_down * math.exp2(exponent), health.hold_down_max))


def _after(history: History, points: float, now: float, hold: float, health: Health) -> History:
    # Points beyond the maximum hold-down would only delay the way back.
    most = 1 + math.log2(max(1.0, health.hold_down_max / health.hold_down))
    return msgspec.structs.replace(history, penalty=min(points, most), at=now, hold=hold)


def begin(found: History | None, now: float, health: Health) -> History:
    """History of an agent that starts at `now` and found this one in /run."""
    if found is None or found.at > now:  # none, or one of an earlier boot
        return History(running=True)
    history = crashed(found, now, health) if found.running else found
    return msgspec.structs.replace(history, running=True)


def load(path: Path) -> History | None:
    """The stored history; None when there is none or it cannot be read."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=History)
    except (OSError, msgspec.DecodeError):
        return None


def store(path: Path, history: History) -> None:
    """Write it whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".new")
    draft.write_bytes(msgspec.json.encode(history))
    draft.replace(path)
