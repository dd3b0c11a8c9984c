"""The BPF packet path with real packets over real devices. Needs root, clang, libbpf."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from anycastle.agent.takeover.bpf import build
from anycastle.agent.takeover.bpf.path import BpfPath
from anycastle.agent.takeover.path import PacketPath
from anycastle.model.addresses import Endpoint
from anycastle.model.node import NodeSpec
from tests.support.namespaces import namespaces
from tests.support.packet_path_contract import PacketPathContract, RelayTableContract
from tests.support.path_world import MakePath, PathWorld, path_world

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    build.compile_in_place()


def pins_for(spec: NodeSpec, run: str) -> Path:
    return Path("/run", f"anycastle-test-{run}", str(spec.loopbacks.v4))


@pytest.fixture
def make() -> Iterator[MakePath]:
    run = secrets.token_hex(3)

    def make_path(spec: NodeSpec) -> PacketPath:
        services = [Endpoint(address, spec.anycast.port) for address in spec.anycast.addresses]
        return BpfPath(services, spec.loopbacks.v4, directory=pins_for(spec, run), clients=4096)

    yield make_path
    for directory in Path("/run", f"anycastle-test-{run}").glob("*"):
        directory.rmdir()
    Path("/run", f"anycastle-test-{run}").rmdir()


class TestRelayTable(RelayTableContract):
    @pytest.fixture
    def path(self, make: MakePath) -> Iterator[PacketPath]:
        with namespaces("table") as (space,), space.entered():
            from tests.support.node import node_spec

            space.batch(
                "link add up0 type veth peer up1", "link add fabric0 type veth peer fabric1"
            )
            path = make(node_spec())
            path.ensure(["up0"], "fabric0")
            yield path
            path.remove()


class TestPackets(PacketPathContract):
    @pytest.fixture
    def world(self, make: MakePath) -> Iterator[PathWorld]:
        with path_world(make) as made:
            yield made
