"""A planned drain between two real nodes loses nothing of a client's stream. Needs root.

The takeover is begun late on purpose: until then every packet goes the long way round, by
the new node to the old one, and packets under old and new keys overlap.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from anycastle.model.addresses import Address
from tests.support.bpf_paths import MakeBpfPath
from tests.support.drain_world import SERVER, DrainWorld, drain_world
from tests.support.echo import echoes
from tests.support.node import ANYCAST4, ANYCAST6

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

RATE = 200
FULL = 1352
"""Bytes of UDP that fill the client's MTU: over IPv6 more than the inter-node path carries."""
LATE = 0.5


@pytest.fixture
def world(make_bpf_path: MakeBpfPath, tmp_path: Path) -> Iterator[DrainWorld]:
    with drain_world(make_bpf_path, tmp_path) as made:
        yield made


@pytest.mark.parametrize("size", [100, FULL])
@pytest.mark.parametrize("outside", [ANYCAST4, ANYCAST6], ids=["v4", "v6"])
def test_drains_there_and_back_lose_nothing(world: DrainWorld, outside: Address, size: int) -> None:
    one, two = world.nodes
    world.connect(outside)
    with echoes(world.client, world.server, SERVER, rate=RATE, size=size) as stream:
        time.sleep(0.3)
        for old, new in ((one, two), (two, one), (one, two)):
            world.move(old, new, after=LATE)
            time.sleep(0.2)
    assert (stream.lost_up, stream.lost_down, stream.repeated) == ([], [], []), str(stream)
    assert len(stream.sent) > 3 * LATE * RATE
    for node, other in ((one, two), (two, one)):
        counters = node.path.counters()
        assert counters.relayed > 0.5 * LATE * RATE
        assert counters.relayed == other.path.counters().delivered
        assert counters.refused == 0
        assert counters.lost == 0


def test_without_relaying_the_same_drain_loses_packets(world: DrainWorld) -> None:
    """The test above can tell."""
    one, two = world.nodes
    world.connect(ANYCAST4)
    two.path.trust(False)
    with echoes(world.client, world.server, SERVER, rate=RATE, size=100) as stream:
        time.sleep(0.3)
        world.move(one, two, after=LATE)
        time.sleep(0.2)
    assert 0.5 * LATE * RATE < len(stream.lost_up) < 3 * LATE * RATE, str(stream)
