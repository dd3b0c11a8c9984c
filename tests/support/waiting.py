"""Waiting for something to become true, with a deadline and a good complaint."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class NotInTime(AssertionError):
    """What was waited for did not happen. The message has the last answer."""


def wait_for(
    what: str,
    probe: Callable[[], T],
    timeout: float,
    every: float = 0.1,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """The first truthy answer of `probe`. timeout, every: seconds. Raises NotInTime.

    An OSError of the probe counts as an answer that is not it: hosts come and go.
    """
    deadline = clock() + timeout
    while True:
        answer, last = _ask(probe)
        if answer:
            return answer
        if clock() >= deadline:
            raise NotInTime(f"{what}: not within {timeout:g} s; the last answer was {last}")
        sleep(every)


def _ask(probe: Callable[[], T]) -> tuple[T | None, str]:
    try:
        answer = probe()
    except OSError as error:
        return None, repr(error)
    return answer, repr(answer)
