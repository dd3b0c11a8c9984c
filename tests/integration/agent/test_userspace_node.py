"""A node on wireguard-go, in network namespaces. Needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.support.wireguard import FarSide, World, far_side
from tests.support.wireguard import world as make_world
from tests.support.wireguard_contract import WireGuardContract

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarSide]:
    with far_side(tmp_path_factory.mktemp("far")) as made:
        yield made


@pytest.fixture
def world(far: FarSide) -> Iterator[World]:
    with make_world(far) as made:
        if made.edge.kind != "userspace":
            pytest.skip("this machine's kernel has WireGuard: tests/kernel covers that")
        yield made


class TestUserspaceNode(WireGuardContract):
    """All of the contract."""
