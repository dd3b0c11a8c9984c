"""Takeover with the kernel's WireGuard on both sides, and both packet paths on its kernel."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from anycastle.agent.takeover.nft.path import NftPath
from anycastle.agent.wireguard.edge import Initiate, Quiet
from anycastle.model.addresses import Endpoint
from tests.support.bpf_paths import bpf_paths
from tests.support.capture import capture
from tests.support.path_world import MakePath
from tests.support.takeover_contract import TakeoverContract, drain
from tests.support.takeover_world import (
    GATEWAY,
    TakeoverNode,
    TakeoverWorld,
    takeover_world,
)
from tests.support.waiting import wait_for

DELAY = "20ms"
STRANGER = Endpoint(ip_address("203.0.113.1"), 40404)
"""An address of the edge router: whoever has the endpoint, it shows what a node sends."""


@pytest.fixture(params=["bpf", "nftables"])
def make_path(request: pytest.FixtureRequest) -> Iterator[MakePath]:
    if request.param == "nftables":
        yield NftPath.for_node
    else:
        with bpf_paths() as make:
            yield make


@pytest.fixture
def takeover(make_path: MakePath, tmp_path: Path) -> Iterator[TakeoverWorld]:
    with takeover_world(make_path, tmp_path, delay=DELAY) as made:
        assert made.one.edge.kind == "kernel"
        made.connect()
        yield made


@pytest.fixture
def quiet_world(tmp_path: Path) -> Iterator[TakeoverWorld]:
    """The client is not connected."""
    with takeover_world(NftPath.for_node, tmp_path) as made:
        yield made


class TestTakeoverInTheKernel:
    """The contract but for its check of itself, which needs no other WireGuard."""

    contract = TakeoverContract

    test_relayed = contract.test_packets_of_a_live_owner_are_relayed_and_answered_over_its_uplink
    test_drained = contract.test_a_drain_and_back_loses_nothing
    test_crashed = contract.test_a_dead_owner_is_succeeded_at_the_clients_next_packet

    def test_confirmed_in_a_round_trip(self, takeover: TakeoverWorld) -> None:
        """Of 40 ms: the client's own timer takes 15 s. The limit is for a slow machine."""
        assert drain_once(takeover) < 2.0


def drain_once(world: TakeoverWorld) -> float:
    ping = world.client.popen(f"ping -q -i 0.1 {GATEWAY}", Path("/dev/null"))
    try:
        return drain(world, world.one, world.two)
    finally:
        ping.terminate()
        ping.wait()


# what the kernel does with the agent's operations; more is in the WireGuard contract


def stranger(world: TakeoverWorld) -> socket.socket:
    with world.far.entered():
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.bind((str(STRANGER.address), STRANGER.port))
    return made


def messages(bound: socket.socket, seconds: float = 1.0) -> list[int]:
    """Types of what came within the time."""
    found, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            found.append(bound.recv(2048)[0])
        except BlockingIOError:
            time.sleep(0.02)
    return found


def first(bound: socket.socket) -> int:
    return wait_for("a message", lambda: messages(bound, 0.1), 10)[0]


def test_a_second_one_within_5_s_is_sent_only_anew(quiet_world: TakeoverWorld) -> None:
    node = quiet_world.one
    with stranger(quiet_world) as bound:
        node.edge.set([Initiate(node.peer, STRANGER)])
        assert first(bound) == 1
        node.edge.set([Initiate(node.peer, STRANGER)])
        assert messages(bound, 1.0) == []
        node.edge.set([Initiate(node.peer, STRANGER, anew=True)])
        assert messages(bound, 1.0) == [1]
        assert configuration(node) == {node.peer.public_key: node.peer}


def test_nothing_is_repeated_after_a_reset(quiet_world: TakeoverWorld) -> None:
    """Unanswered, WireGuard repeats after 5 s: a takeover that was given up does not."""
    node = quiet_world.one
    with stranger(quiet_world) as bound:
        node.edge.set([Initiate(node.peer, STRANGER)])
        assert first(bound) == 1
        node.edge.reset_peer(node.peer)
        node.edge.set([Quiet(node.peer.public_key)])
        assert messages(bound, 8.0) == []


def test_a_client_that_was_let_go_is_not_initiated_to_by_its_traffic(
    quiet_world: TakeoverWorld,
) -> None:
    """Packets for it that still come to the old node must not steal the client back."""
    node = quiet_world.one
    quiet_world.connect()
    assert node.sample().endpoint is not None
    node.edge.reset_peer(node.peer)
    sample = node.sample()
    assert (sample.endpoint, sample.latest_handshake) == (None, 0.0)
    with capture(quiet_world.far, "up0") as seen:
        node.space.run("ping -q -c 3 -i 0.2 -W 1 10.200.0.16", check=False)
        assert seen.packets(out=False) == []


def configuration(node: TakeoverNode) -> object:
    state = node.edge.read()
    assert state is not None
    return state.peers
