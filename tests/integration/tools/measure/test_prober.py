"""The prober between two real namespaces, with an outage of a known length. Needs root."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.support.namespaces import Namespace, join, namespaces
from tools.measure.probing import ProberGone, StreamSpec, TransferSpec, probing

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Namespace, Namespace]]:
    with namespaces("near", "far") as (near, far):
        join(near, "up0", far, "up0")
        for space, last in ((near, 1), (far, 2)):
            space.batch(
                "link set up0 up",
                f"address add 10.9.0.{last}/24 dev up0",
                f"address add fd09::{last}/64 dev up0 nodad",
            )
        yield near, far


def stream(pair: tuple[Namespace, Namespace], target: str, rate: float = 200) -> StreamSpec:
    near, far = pair
    return StreamSpec(name=target, netns=near.name, target=target, target_netns=far.name, rate=rate)


def test_nothing_is_lost_on_a_wire(pair: tuple[Namespace, Namespace]) -> None:
    targets = ("10.9.0.2", "fd09::2")
    with probing([stream(pair, target) for target in targets]) as probe:
        assert probe.answering(targets, 5) == []
        began = time.time()
        time.sleep(2)
        found = probe.summaries(began)
    for each in found.values():
        assert 350 <= each.sent <= 450, str(each)
        assert (each.lost, each.again) == (0, 0), str(each)


@pytest.mark.parametrize(("side", "up"), [(0, True), (1, False)])
def test_an_outage_has_its_length_and_its_direction(
    pair: tuple[Namespace, Namespace], side: int, up: bool
) -> None:
    """nftables drops on one side's way out: requests, or echoes."""
    space = pair[side]
    with probing([stream(pair, "10.9.0.2")]) as probe:
        assert probe.answering(["10.9.0.2"], 5) == []
        began = time.time()
        time.sleep(0.5)
        space.run("nft add table ip lose")
        space.run("nft add chain ip lose out { type filter hook output priority 0; policy drop; }")
        time.sleep(1)
        space.run("nft delete table ip lose")
        time.sleep(0.5)
        found = probe.summaries(began)["10.9.0.2"]
    lost, other = (found.lost_up, found.lost_down) if up else (found.lost_down, found.lost_up)
    assert other == 0, str(found)
    assert 150 <= lost <= 300, str(found)
    assert 0.9 < found.gap < 2, str(found)


@pytest.mark.parametrize("down", [False, True])
def test_a_transfer_keeps_its_rate(pair: tuple[Namespace, Namespace], down: bool) -> None:
    near, far = pair
    spec = TransferSpec(
        name="t", netns=near.name, target="10.9.0.2", target_netns=far.name, rate=8e6, down=down
    )
    with probing([], [spec]) as probe:
        time.sleep(0.5)
        began = time.time()
        time.sleep(2)
        moved = probe.moved(began)["t"]
    assert moved.broken == ""
    assert moved.retransmitted == 0
    assert 4e6 < moved.bits_per_second < 10e6, f"{moved.bits_per_second:.0f} bit/s"
    assert moved.gap < 0.5


def test_a_namespace_that_is_not_there() -> None:
    spec = StreamSpec(name="x", netns="no-such-netns", target="10.9.0.2", target_netns="neither")
    with pytest.raises(ProberGone, match="no measuring"), probing([spec]):
        pass
