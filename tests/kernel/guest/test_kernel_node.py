"""A node on the kernel's WireGuard."""

from __future__ import annotations

import time
from collections.abc import Iterator
from ipaddress import ip_network

import pytest

from anycastle.agent.netlink.edge import NetworkError, NextHop, PutRoute, Route
from anycastle.agent.netlink.watch import Watch
from anycastle.agent.wireguard.edge import (
    DeviceMissing,
    PeerConfig,
    PutPeer,
    SetDevice,
    WireGuardError,
)
from anycastle.agent.wireguard.kernel import KernelWireGuard
from anycastle.model.addresses import nth
from tests.support.namespaces import run
from tests.support.node import key
from tests.support.wireguard import FarSide, World, far_side
from tests.support.wireguard import world as make_world
from tests.support.wireguard_contract import WireGuardContract


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FarSide]:
    with far_side(tmp_path_factory.mktemp("far")) as made:
        yield made


@pytest.fixture
def world(far: FarSide) -> Iterator[World]:
    with make_world(far) as made:
        yield made


class TestKernelNode(WireGuardContract):
    """All of the contract, and what only the kernel's device has."""

    def test_the_kernels_device_is_chosen(self, world: World) -> None:
        assert world.edge.kind == "kernel"
        assert isinstance(world.edge, KernelWireGuard)
        assert "acprobe" not in run(f"ip -n {world.node.name} link")

    def test_thousands_of_peers_in_and_out(self, world: World) -> None:
        peers = [
            PeerConfig(key(number), key(number), (ip_network(nth(world.spec.pools.v4, number)),))
            for number in range(1, 3001)
        ]
        world.edge.ensure()
        world.edge.set([PutPeer(peer) for peer in peers])
        state = world.edge.read()
        assert state is not None
        assert state.peers == {peer.public_key: peer for peer in peers}
        assert len(world.edge.sample()) == 3000
        started = time.monotonic()
        world.edge.remove()
        # 19 ms a peer, a minute in all, if the peers were not flushed first.
        assert time.monotonic() - started < 20
        assert world.edge.read() is None

    def test_a_peer_with_more_allowed_ips_than_a_message_holds(self, world: World) -> None:
        networks = tuple(ip_network(nth(world.spec.pools.v6, number)) for number in range(3000))
        peer = PeerConfig(key(1), None, networks)
        world.edge.ensure()
        world.edge.set([PutPeer(peer)])
        state = world.edge.read()
        assert state is not None
        assert state.peers == {key(1): peer}

    def test_a_port_in_use_is_an_error_that_says_so(self, world: World) -> None:
        world.reconcile()
        with world.node.entered():
            other = KernelWireGuard("acother")
        try:
            other.ensure()
            run(f"ip -n {world.node.name} link set acother up")
            with pytest.raises(WireGuardError, match="acother: Address already in use"):
                other.set([SetDevice(listen_port=world.spec.anycast.port)])
        finally:
            other.remove()
            other.close()

    def test_a_device_of_another_kind_is_not_taken(self, world: World) -> None:
        run(f"ip -n {world.node.name} link add acdummy type dummy")
        with world.node.entered():
            edge = KernelWireGuard("acdummy")
        try:
            with pytest.raises(WireGuardError, match="of kind 'dummy'"):
                edge.ensure()
            with pytest.raises(WireGuardError):
                edge.read()
        finally:
            edge.close()

    def test_an_edge_survives_the_module(self, world: World) -> None:
        """The family gets another number when the module is loaded again."""
        world.reconcile()
        for space, device in ((world.node, world.edge.device), (world.far, world.far_device)):
            run(f"ip -n {space.name} link delete {device}")
        run("rmmod wireguard")
        assert world.edge.read() is None
        with pytest.raises(DeviceMissing):
            world.edge.sample()
        assert world.reconcile().failed == ()
        assert world.differs() == ""

    def test_an_uplink_that_is_down_is_said_in_the_kernels_words(self, world: World) -> None:
        run(f"ip -n {world.node.name} link set up0 down")
        hop = NextHop("up0", world.spec.edges[0].remote4)
        route = Route(7, ip_network("0.0.0.0/0"), 1, next_hops=(hop,))
        with pytest.raises(NetworkError, match=r"invalid gateway|not up"):
            world.network.apply(PutRoute(route))

    def test_a_watch_sees_a_device_come_and_go(self, world: World) -> None:
        with world.node.entered():
            watch = Watch()
        try:
            assert not watch.drain()
            world.edge.ensure()
            assert watch.drain()
            world.edge.remove()
            assert watch.drain()
            assert not watch.drain()
        finally:
            watch.close()
