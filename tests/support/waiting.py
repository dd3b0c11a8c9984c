"""Waiting for something to become true, with a deadline and a good complaint."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
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


def wait_quiet(
    what: str, complaints: Callable[[], Sequence[str]], timeout: float, every: float = 0.2
) -> None:
    """Until there are no complaints any more. Raises NotInTime with the last ones."""
    last: list[str] = []

    def quiet() -> bool:
        last[:] = complaints()
        return not last

    try:
        wait_for(what, quiet, timeout, every)
    except NotInTime:
        raise NotInTime(f"{what}: not within {timeout:g} s: {'; '.join(last)}") from None


def _ask(probe: Callable[[], T]) -> tuple[T | None, str]:
    try:
        answer = probe()
    except OSError as error:
        return None, repr(error)
    return answer, repr(answer)
