"""The clock is right, as far as the kernel knows.

All nodes share the service key, and a client accepts only initiations with a later
timestamp than the last one: the nodes' clocks form one sequence. A clock that is known
to be off by more than 100 ms makes the node worse than its neighbours. One that is not
synchronised at all is a note only (`clock_sync`): nobody knows whether it is wrong, and
containers of one machine share it.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate

TOLERANCE = 0.1
"""Seconds."""

_STA_UNSYNC = 0x0040
_STA_NANO = 0x2000


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2); the tail is room that the kernel may write to."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_byte * 256),
    )


@dataclass(frozen=True)
class Clock:
    """synchronised: by NTP, says the kernel. offset, error: seconds; error is estimated."""

    synchronised: bool
    offset: float
    error: float


def read() -> Clock:
    """Ask the kernel; nothing is changed. Raises OSError."""
    timex = _Timex()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(timex)) < 0:
        raise OSError(ctypes.get_errno(), "adjtimex failed")
    unit = 1e-9 if timex.status & _STA_NANO else 1e-6
    return Clock(not timex.status & _STA_UNSYNC, timex.offset * unit, timex.esterror * 1e-6)


def probe(_around: Surroundings) -> Probe:
    return Probe("clock", Severity.SOFT, immediate(lambda: complaint(read())), period=5.0)


def complaint(clock: Clock) -> str:
    if not clock.synchronised or abs(clock.offset) <= TOLERANCE:
        return ""
    return f"the clock is off by {clock.offset * 1000:+.0f} ms"
