"""The nftables packet path in network namespaces. Needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from anycastle.agent.takeover.nft.path import NftPath
from anycastle.agent.takeover.path import PacketPath
from tests.support.packet_path_contract import PacketPathContract, RelayTableContract
from tests.support.path_world import PathWorld, path_world

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture
def world() -> Iterator[PathWorld]:
    with path_world(NftPath.for_node) as made:
        yield made


@pytest.fixture
def path(world: PathWorld) -> PacketPath:
    return world.one.path


class TestNftRelayTable(RelayTableContract):
    pass


class TestNftPackets(PacketPathContract):
    pass
