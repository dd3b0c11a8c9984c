from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.health.probe import Surroundings
from anycastle.agent.health.probes.stall import (
    ENOUGH,
    FRACTION,
    WINDOW,
    Watch,
    judge,
    stalled,
)
from anycastle.agent.netlink.fake import FakeNetwork
from anycastle.agent.wireguard.edge import PeerSample
from anycastle.model.codec import Key
from tests.support.node import node_spec


def key(number: int) -> Key:
    return Key(number.to_bytes(32, "big"))


def readings(steps: list[tuple[int, int, int, int]]) -> list[dict[Key, tuple[int, int]]]:
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
    assert judge(readings([SILENT] * 20)) == (
        "20 of 20 active peers are sent to, but no longer heard"
    )


def test_a_few_silent_ones_are_clients_that_went_away() -> None:
    assert judge(readings([SILENT] * 12 + [LIVELY] * 28)) == ""


def test_idle_and_long_gone_peers_say_nothing() -> None:
    assert stalled(*readings([IDLE] * 10 + [GONE] * 10)) == (0, 0)
    assert judge(readings([IDLE] * 10 + [GONE] * 10)) == ""


def test_a_handful_of_peers_is_not_enough() -> None:
    assert judge(readings([SILENT] * (ENOUGH - 1))) == ""


def test_new_and_removed_peers_are_left_out() -> None:
    first, second, third = readings([SILENT] * 4)
    del first[key(0)], second[key(1)], third[key(2)]
    assert stalled(first, second, third) == (1, 1)


def test_needs_three_readings() -> None:
    assert judge(readings([SILENT] * 20)[:2]) == ""


step = st.tuples(*[st.integers(0, 1000)] * 4)


@given(st.lists(step, max_size=40))
def test_complains_only_when_nearly_all_are_silent(steps: list[tuple[int, int, int, int]]) -> None:
    active, silent = stalled(*readings(steps))
    assert 0 <= silent <= active <= len(steps)
    if judge(readings(steps)):
        assert active >= ENOUGH
        assert silent >= FRACTION * active


def test_clients_of_other_nodes_do_not_count(tmp_path: Path) -> None:
    now = 0.0
    around = Surroundings(node_spec(), FakeNetwork(), tmp_path, now=lambda: now)
    around.owned = lambda: {key(number) for number in range(20)}
    watch = Watch(around)
    for counters in readings([LIVELY] * 20 + [SILENT] * 200):
        around.samples = [PeerSample(k, None, 1.0, *both) for k, both in counters.items()]
        assert watch.complaint() == ""
        now += WINDOW
    around.owned = lambda: {key(number) for number in range(220)}
    for counters in readings([LIVELY] * 20 + [SILENT] * 200):
        around.samples = [PeerSample(k, None, 1.0, *both) for k, both in counters.items()]
        complaint = watch.complaint()
        now += WINDOW
    assert complaint == "200 of 220 active peers are sent to, but no longer heard"
