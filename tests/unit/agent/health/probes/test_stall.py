from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.health.probes.stall import ENOUGH, FRACTION, Counters, judge, stalled
from anycastle.model.codec import Key


def key(number: int) -> Key:
    return Key(number.to_bytes(32, "big"))


def readings(steps: list[tuple[int, int, int, int]]) -> list[Counters]:
    """steps: per peer, bytes (received, sent) in the first window, then in the second."""
    first = {key(n): (1000, 1000) for n in range(len(steps))}
    second = {key(n): (1000 + s[0], 1000 + s[1]) for n, s in enumerate(steps)}
    third = {key(n): (1000 + s[0] + s[2], 1000 + s[1] + s[3]) for n, s in enumerate(steps)}
    return [first, second, third]


SILENT = (100, 100, 0, 100)
"""Heard in the first window, sent to but not heard in the second."""
LIVELY = (100, 100, 50, 100)
IDLE = (100, 100, 0, 0)
GONE = (0, 100, 0, 100)
"""Was silent before already."""


def test_all_silent_at_once_is_a_stall() -> None:
    assert judge(readings([SILENT] * 5)) == ("5 of 5 active peers are sent to, but no longer heard")


def test_a_few_silent_ones_are_clients_that_went_away() -> None:
    assert judge(readings([SILENT] * 3 + [LIVELY] * 7)) == ""


def test_idle_and_long_gone_peers_say_nothing() -> None:
    assert stalled(*readings([IDLE] * 10 + [GONE] * 10)) == (0, 0)
    assert judge(readings([IDLE] * 10 + [GONE] * 10)) == ""


def test_two_peers_are_not_enough() -> None:
    assert judge(readings([SILENT] * 2)) == ""


def test_new_and_removed_peers_are_left_out() -> None:
    first, second, third = readings([SILENT] * 4)
    del first[key(0)], second[key(1)], third[key(2)]  # type: ignore[attr-defined]
    assert stalled(first, second, third) == (1, 1)


def test_needs_three_readings() -> None:
    assert judge(readings([SILENT] * 5)[:2]) == ""


step = st.tuples(*[st.integers(0, 1000)] * 4)


@given(st.lists(step, max_size=30))
def test_never_complains_while_a_fifth_is_heard(steps: list[tuple[int, int, int, int]]) -> None:
    active, silent = stalled(*readings(steps))
    assert 0 <= silent <= active <= len(steps)
    if judge(readings(steps)):
        assert active >= ENOUGH
        assert silent >= FRACTION * active
