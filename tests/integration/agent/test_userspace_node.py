"""A node on wireguard-go, in network namespaces. Needs root."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wireguard import World
from tests.support.wireguard import world as make_world
from tests.support.wireguard_contract import WireGuardContract

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with make_world(tmp_path) as made:
        if made.edge.kind != "userspace":
            pytest.skip("this machine's kernel has WireGuard: tests/kernel covers that")
        yield made


class TestUserspaceNode(WireGuardContract):
    """All of the contract."""
