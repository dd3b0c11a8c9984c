"""The measuring itself: a real ping in a namespace, with a known outage."""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support import traffic
from tests.support.traffic import Ping


@pytest.fixture
def netns() -> Iterator[str]:
    name = f"acping-{secrets.token_hex(3)}"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        loopback(name, "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def loopback(netns: str, state: str) -> None:
    subprocess.run(["ip", "-n", netns, "link", "set", "lo", state], check=True)


@pytest.mark.parametrize("target", ["127.0.0.1", "::1"])
def test_a_thousand_without_a_loss(netns: str, target: str) -> None:
    ping = Ping(netns, target, interval=0.002, count=1000)
    with traffic.running([ping]):
        flow = ping.wait(20)
    traffic.assert_lossless([flow])
    assert flow.sent == 1000
    assert len(flow.answers) == 1000


def test_an_outage_is_counted(netns: str) -> None:
    ping = Ping(netns, "127.0.0.1", interval=0.02)
    with traffic.running([ping]):
        time.sleep(0.5)
        loopback(netns, "down")
        time.sleep(1)
        assert len(ping.answers()) < 40
        loopback(netns, "up")
        time.sleep(1)
        flow = ping.stop(grace=0.2)
    assert 30 <= len(flow.lost) <= 60, str(flow)
    assert 0.8 < flow.longest_gap < 1.4, str(flow)


def test_a_target_that_never_answers(netns: str) -> None:
    ping = Ping(netns, "192.0.2.9", interval=0.1)
    with traffic.running([ping]):
        time.sleep(0.5)
        with pytest.raises((AssertionError, ValueError)):
            traffic.assert_lossless([ping.stop(grace=0.0)])


def test_nothing_outlives_the_block(netns: str) -> None:
    with pytest.raises(RuntimeError), traffic.running([Ping(netns, "127.0.0.1")]):
        raise RuntimeError
    left = subprocess.run(
        ["ip", "netns", "pids", netns], capture_output=True, text=True, check=True
    ).stdout
    assert left == ""
