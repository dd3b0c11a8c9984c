"""A node on wireguard-go, in network namespaces. Needs root."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator

import pytest

from anycastle.agent.wireguard import buffers
from anycastle.agent.wireguard.edge import DeviceMissing, SetDevice, WireGuardError
from anycastle.agent.wireguard.userspace import UserspaceWireGuard
from tests.support.namespaces import unique_device
from tests.support.wireguard import PORT, FarSide, World, far_side
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


def receive_buffers(world: World, port: int) -> list[int]:
    """Bytes, of the sockets at a port, as ss(8) tells them."""
    shown = world.node.run(f"ss -Huanm sport = :{port}")
    return [int(size) for size in re.findall(r"rb(\d+)", shown)]


class TestUserspaceNode(WireGuardContract):
    """All of the contract, and what can befall a daemon."""

    def test_a_daemon_that_was_killed_comes_back(self, world: World, far: FarSide) -> None:
        """It leaves its socket behind, which nobody answers on."""
        world.reconcile()
        far.daemons.kill(world.edge.device)
        assert world.edge.read() is None
        with pytest.raises(DeviceMissing):
            world.edge.sample()
        assert world.reconcile().failed == ()
        world.handshake()

    def test_its_sockets_have_room(self, world: World, far: FarSide) -> None:
        """For both families, also those that it opens for another port."""
        world.reconcile()
        for port in (PORT, 4501):
            world.edge.set([SetDevice(listen_port=port)])
            assert world.edge.read() is not None
            sizes = receive_buffers(world, port)
            assert len(sizes) == 2
            assert min(sizes) >= buffers.SIZE
        world.reconcile()
        world.handshake()

    def test_a_daemon_that_hangs_is_an_error_that_says_so(self, world: World, far: FarSide) -> None:
        world.reconcile()
        with far.daemons.stopped(world.edge.device), pytest.raises(WireGuardError, match="hangs"):
            world.edge.read()
        assert world.differs() == ""

    def test_a_daemon_that_does_not_start_is_an_error_that_says_so(self, world: World) -> None:
        with world.node.entered():
            edge = UserspaceWireGuard(
                unique_device(), start=lambda _: None, stop=lambda _: None, start_timeout=0.1
            )
        with contextlib.closing(edge), pytest.raises(WireGuardError, match="its log says why"):
            edge.ensure()

    def test_a_port_in_use_is_an_error_that_says_so(self, world: World, far: FarSide) -> None:
        world.reconcile()
        with world.node.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("0.0.0.0", 4500))
            with pytest.raises(WireGuardError, match="another program has the UDP port"):
                world.edge.set([SetDevice(listen_port=4500)])
