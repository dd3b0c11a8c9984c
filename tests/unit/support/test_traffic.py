"""Losses and gaps are counted to the packet; waiting complains well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import traffic
from tests.support.waiting import NotInTime, wait_for

HEAD = b"PING 10.50.1.10 (10.50.1.10) 56(84) bytes of data.\n"


def answer(number: int, at: float, target: str = "10.50.1.10") -> bytes:
    return f"[{at:.6f}] 64 bytes from {target}: icmp_seq={number} ttl=62 time=1.2 ms\n".encode()


def summary(sent: int, received: int) -> bytes:
    text = f"\n--- 10.50.1.10 ping statistics ---\n{sent} packets transmitted, {received} received"
    return text.encode() + b", 0% packet loss, time 1ms\n"


def test_losses_by_number() -> None:
    lines = b"".join(answer(n, 100 + n / 10) for n in (1, 2, 5, 6))
    flow = traffic.parse(HEAD + lines + summary(7, 4), "x", 0.1, 0.0)
    assert flow.lost == [3, 4, 7]
    assert flow.longest_gap == pytest.approx(0.3)
    assert flow.last_answer == 100.6
    assert str(flow) == "x: 3 of 7 lost [3, 4, 7], longest gap 0.300 s"


def test_what_was_on_its_way_is_no_loss() -> None:
    lines = b"".join(answer(n, 100 + n / 10) for n in (1, 2))
    assert traffic.parse(HEAD + lines + summary(12, 2), "x", 0.1, 1.0).lost == []
    assert traffic.parse(HEAD + lines + summary(13, 2), "x", 0.1, 1.0).lost == [3]


def test_duplicates_count_once_and_the_first_counts() -> None:
    output = HEAD + answer(1, 100.0) + answer(1, 200.0) + summary(1, 1)
    assert traffic.parse(output, "x", 1.0, 0.0).answers == {1: 100.0}


def test_errors_are_no_answers() -> None:
    unreachable = b"[100.0] From 10.50.1.1 icmp_seq=1 Destination Host Unreachable\n"
    flow = traffic.parse(HEAD + unreachable + summary(1, 0), "x", 1.0, 0.0)
    assert flow.lost == [1]
    assert flow.longest_gap == float("inf")


def test_recovery_after_a_moment() -> None:
    flow = traffic.Flow("x", 1.0, 9, {1: 10.0, 2: 11.0, 8: 17.5})
    assert flow.answered_after(11.0) == 6.5
    assert flow.answered_after(20.0) is None


def test_ipv6_answers() -> None:
    flow = traffic.parse(answer(1, 5.0, "fd00:50:1::10") + summary(1, 1), "x", 1.0, 0.0)
    assert flow.lost == []


def test_a_ping_that_broke_off() -> None:
    with pytest.raises(ValueError, match="unknown host"):
        traffic.parse(b"ping: unknown host", "x", 1.0, 0.0)


def test_lossless_lists_the_bad_ones() -> None:
    good = traffic.Flow("good", 1.0, 2, {1: 1.0, 2: 2.0})
    silent = traffic.Flow("silent", 1.0, 1, {}, pending=1)
    traffic.assert_lossless([good])
    with pytest.raises(AssertionError, match="silent: 0 of 1 lost"):
        traffic.assert_lossless([good, silent])


def test_waiting() -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    answers = iter([0, "", "yes"])
    assert wait_for("it", lambda: next(answers), 5, clock=lambda: now[0], sleep=sleep) == "yes"
    assert now[0] == pytest.approx(0.2)
    with pytest.raises(NotInTime, match=r"it: not within 1 s; the last answer was \[\]"):
        wait_for("it", list, 1, clock=lambda: now[0], sleep=sleep)


def test_an_os_error_is_an_answer() -> None:
    answers: Iterator[OSError | str] = iter([ConnectionRefusedError("no"), "yes"])

    def probe() -> str:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert wait_for("it", probe, 5, sleep=lambda _: None) == "yes"
