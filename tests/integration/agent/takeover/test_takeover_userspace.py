"""Takeover with wireguard-go, a client behind NAT, and each packet path. Needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from anycastle.agent.takeover.nft.path import NftPath
from tests.support.bpf_paths import MakeBpfPath
from tests.support.takeover_contract import TakeoverContract
from tests.support.takeover_world import TakeoverWorld, takeover_world

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

OUTER = pytest.mark.parametrize("version", [4, 6])


@OUTER
class TestTakeoverByNftables(TakeoverContract):
    @pytest.fixture
    def takeover(self, version: int, tmp_path: Path) -> Iterator[TakeoverWorld]:
        with takeover_world(NftPath.for_node, tmp_path) as made:
            made.connect(version)
            yield made


class TestTakeoverByBpf(TakeoverContract):
    @pytest.fixture
    def takeover(self, make_bpf_path: MakeBpfPath, tmp_path: Path) -> Iterator[TakeoverWorld]:
        with takeover_world(make_bpf_path, tmp_path) as made:
            made.connect()
            yield made
