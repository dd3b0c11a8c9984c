"""What one echo stream's times say."""

from __future__ import annotations

from collections.abc import Collection

import pytest

from tools.measure.streams import HEADER, Stream, longest_gap
from tools.measure.wire import StreamSpec

SPEC = StreamSpec(name="c", netns="n", target="192.0.2.9", target_netns="t", rate=10, size=40)


def ran(up: Collection[int] = (), down: Collection[int] = (), count: int = 50) -> Stream:
    """Packets 0.1 s apart from 1000 on; those of `up` and `down` are lost on that way."""
    stream = Stream(3, SPEC)
    for number in range(count):
        at = 1000 + number / 10
        payload = stream.send(at, at + 0.001)
        assert HEADER.unpack_from(payload) == (3, number)
        assert len(payload) == SPEC.size
        if number not in up:
            stream.echoed(number, at + 0.01)
            if number not in down:
                stream.answered(number, at + 0.02)
    return stream


def test_losses_have_a_direction() -> None:
    found = ran(up={3, 4, 5}, down={30}).summary(1000, 1005)
    assert (found.sent, found.lost_up, found.lost_down, found.lost) == (50, 3, 1, 4)
    assert found.gap == pytest.approx(0.4)
    assert found.gap_up == pytest.approx(0.4)
    assert found.late == pytest.approx(0.001)


def test_a_window_takes_what_was_sent_in_it() -> None:
    found = ran(up={3}).summary(1001, 1001.95)
    assert (found.sent, found.lost) == (10, 0)
    assert found.back == pytest.approx(0.02)


def test_back_is_the_first_answer_to_what_was_sent_later() -> None:
    found = ran(up=set(range(20, 40))).summary(1002, 1005)
    assert found.back == pytest.approx(2.02)
    assert found.gap == pytest.approx(2.02)


def test_never_answered() -> None:
    found = ran(up=set(range(50))).summary(1000, 1005)
    assert (found.back, found.lost) == (None, 50)
    assert found.gap == pytest.approx(5)


def test_answers_that_come_twice_are_no_gain() -> None:
    stream = ran(down={7})
    stream.answered(8, 1010)
    found = stream.summary(1000, 1005)
    assert (found.lost, found.again) == (1, 1)


def test_forgotten_packets_change_nothing() -> None:
    stream = ran(up={3, 44})
    stream.forget(1002)
    stream.answered(3, 1004)
    found = stream.summary(0, 2000)
    assert (found.sent, found.lost) == (30, 1)
    payload = stream.send(1005, 1005)
    assert HEADER.unpack_from(payload) == (3, 50)


def test_live() -> None:
    stream = ran(up={20, 21, 22, 49})
    now = stream.live(1004.9, 0.0)
    assert now.rate == pytest.approx(10, abs=1)
    assert now.silent == pytest.approx(0.08)
    assert now.gap == pytest.approx(0.4)
    assert now.back is not None
    lasting = stream.live(1005.0, 1004.85)
    assert lasting.gap == pytest.approx(0.15)
    assert lasting.back is None
    packet = HEADER.unpack_from(stream.send(1005.0, 1005.0))[1]
    stream.answered(packet, 1005.03)
    assert stream.live(1005.1, 1004.85).back == pytest.approx(0.18)
    assert stream.live(1005.1, 1002.0).back == pytest.approx(0.22, abs=0.1)
    empty = Stream(0, SPEC).live(1000, 0.0)
    assert (empty.silent, empty.gap) == (None, 0.0)


@pytest.mark.parametrize(
    ("times", "gap"),
    [([], 10.0), ([5.0], 5.0), ([1.0, 2.0, 8.0, 9.0], 6.0), ([0.5, 1.0], 9.0), ([4.0, 1.0], 6.0)],
)
def test_longest_gap(times: list[float], gap: float) -> None:
    assert longest_gap(times, 0.0, 10.0) == gap
