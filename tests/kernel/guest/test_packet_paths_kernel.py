"""Both packet paths on a node's own kernel: Debian's, older than the machine's of the tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anycastle.agent.takeover.choose import candidates, choose
from anycastle.agent.takeover.nft.path import NftPath
from anycastle.agent.takeover.path import PacketPath
from tests.support.bpf_paths import bpf_paths
from tests.support.namespaces import Namespace, namespaces
from tests.support.node import node_spec
from tests.support.packet_path_contract import PacketPathContract, RelayTableContract
from tests.support.path_world import FABRIC, PathWorld, path_world


class TestBpfOnThisKernel(PacketPathContract):
    @pytest.fixture
    def world(self) -> Iterator[PathWorld]:
        with bpf_paths() as make, path_world(make) as made:
            yield made


class TestNftablesOnThisKernel(PacketPathContract):
    @pytest.fixture
    def world(self) -> Iterator[PathWorld]:
        with path_world(NftPath.for_node) as made:
            yield made


class TestNftRelayTableOnThisKernel(RelayTableContract):
    @pytest.fixture
    def path(self) -> Iterator[PacketPath]:
        with namespaces("table") as (space,), space.entered():
            _make_devices(space)
            made = NftPath.for_node(node_spec())
            made.ensure(["up0"], FABRIC.device)
            yield made
            made.close()


def test_bpf_is_what_a_node_chooses_here() -> None:
    with namespaces("choose") as (space,), space.entered():
        _make_devices(space)
        path = choose(["up0"], FABRIC.device, candidates(node_spec()))
        try:
            assert path.kind == "bpf"
        finally:
            path.remove()


def _make_devices(space: Namespace) -> None:
    space.batch("link add up0 type veth peer up1", f"link add {FABRIC.device} type veth peer far0")
