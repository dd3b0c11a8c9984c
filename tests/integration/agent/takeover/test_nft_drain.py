"""A planned drain by the nftables packet path loses nothing of a client's stream. Needs root.

As with BPF, the takeover is begun late on purpose: packets under old and new keys overlap,
which endpoints alone could not tell apart.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from anycastle.agent.takeover.nft.path import NftPath
from anycastle.agent.takeover.path import PacketPath
from anycastle.model.addresses import Address
from anycastle.model.node import NodeSpec
from tests.support.drain_world import SERVER, DrainWorld, drain_world
from tests.support.echo import echoes
from tests.support.namespaces import Namespace
from tests.support.node import ANYCAST4, ANYCAST6
from tests.support.path_world import Inside

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

RATE = 200
FULL = 1352
"""Bytes of UDP that fill the client's MTU: over IPv6 more than the inter-node path carries."""
LATE = 0.5


@pytest.fixture
def world(tmp_path: Path) -> Iterator[DrainWorld]:
    def make(spec: NodeSpec) -> PacketPath:
        return cast(PacketPath, Inside(Namespace.current(), NftPath.for_node(spec)))

    with drain_world(make, tmp_path) as made:
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
