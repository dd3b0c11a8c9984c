"""Trains of segments: whose each one is, and that every node gets those it can decrypt.

A train comes as one packet to tc when GRO joined what arrived at once; packets of two
sessions of one client (before and after a takeover) have the same addresses and so may
be in the same train.
"""

from __future__ import annotations

import os

import pytest

from anycastle.agent.takeover.path import EventKind
from anycastle.model.addresses import Endpoint
from tests.support.node import ANYCAST4, ANYCAST6
from tests.support.path_world import LOOPBACKS, PORT, PathWorld, client, data, initiation, response
from tests.support.trains import send_train

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

ONE, TWO = LOOPBACKS
OURS, THEIRS = 7, 8
BOTH = pytest.mark.parametrize("version", [4, 6])


@pytest.fixture(autouse=True)
def _sessions(bpf_world: PathWorld) -> None:
    """Each client has had a session with the second node and has a newer one with the first."""
    for version in (4, 6):
        bpf_world.one.send(response(OURS, 99), client(1, version))
        bpf_world.two.send(response(THEIRS, 99), client(1, version))
        bpf_world.one.path.put_relays({client(1, version): TWO})


def send(world: PathWorld, segments: list[bytes], source: Endpoint) -> None:
    to = ANYCAST4 if source.address.version == 4 else ANYCAST6
    with world.far.entered():
        send_train(segments, source, to, PORT)


def train(*indices: int, size: int = 1000) -> list[bytes]:
    return [data(index, size, number) for number, index in enumerate(indices)]


def payloads(received: list[tuple[Endpoint, bytes]]) -> list[bytes]:
    return [payload for _, payload in received]


@BOTH
def test_an_own_train_stays(bpf_world: PathWorld, version: int) -> None:
    segments = [*train(*[OURS] * 20), data(OURS, 200, 20)]
    send(bpf_world, segments, client(1, version))
    assert payloads(bpf_world.one.receive(21)) == segments
    counters = bpf_world.one.path.counters()
    assert (counters.own, counters.foreign, counters.relayed) == (21, 0, 0)


@BOTH
def test_a_foreign_train_goes_to_its_owner(bpf_world: PathWorld, version: int) -> None:
    segments = [*train(*[THEIRS] * 20), data(THEIRS, 200, 20)]
    send(bpf_world, segments, client(1, version))
    assert payloads(bpf_world.two.receive(21)) == segments
    assert bpf_world.one.received() == []
    counters = bpf_world.one.path.counters()
    assert (counters.own, counters.foreign, counters.relayed) == (0, 21, 21)
    assert bpf_world.two.path.counters().delivered == 21


@BOTH
@pytest.mark.parametrize(
    "indices",
    [
        (OURS, THEIRS),
        (THEIRS, OURS),
        (OURS, *[THEIRS] * 10),
        (*[THEIRS] * 10, OURS),
        (*[OURS] * 10, THEIRS),
        (OURS, THEIRS) * 12,
    ],
    ids=lambda indices: "".join("o" if one == OURS else "f" for one in indices),
)
def test_a_mixed_train_goes_to_both(
    bpf_world: PathWorld, version: int, indices: tuple[int, ...]
) -> None:
    segments = train(*indices)
    send(bpf_world, segments, client(1, version))
    for node in (bpf_world.one, bpf_world.two):
        assert payloads(node.receive(len(segments))) == segments
    own, foreign = indices.count(OURS), indices.count(THEIRS)
    here, there = bpf_world.one.path.counters(), bpf_world.two.path.counters()
    assert (here.own, here.foreign, here.relayed) == (own, foreign, foreign)
    assert (there.delivered, there.refused) == (foreign, 0)


def test_a_train_of_full_packets_is_relayed(bpf_world: PathWorld) -> None:
    segments = train(*[THEIRS] * 30, size=1452)
    send(bpf_world, segments, client(1, 6))
    assert payloads(bpf_world.two.receive(30)) == segments


def test_a_handshake_message_at_the_head_hides_nothing(bpf_world: PathWorld) -> None:
    segments = [initiation(5), data(THEIRS, 148), data(OURS, 148)]
    send(bpf_world, segments, client(1))
    assert payloads(bpf_world.one.receive(3)) == segments
    assert payloads(bpf_world.two.receive(3)) == segments


def test_without_trust_a_mixed_train_stays(bpf_world: PathWorld) -> None:
    bpf_world.one.path.trust(False)
    segments = train(OURS, THEIRS)
    send(bpf_world, segments, client(1))
    assert payloads(bpf_world.one.receive(2)) == segments
    assert bpf_world.two.received() == []


def test_a_train_of_nobody_is_dropped_where_it_comes_relayed(bpf_world: PathWorld) -> None:
    bpf_world.two.path.forget([client(1)])
    send(bpf_world, train(*[THEIRS] * 5), client(1))
    bpf_world.settle()
    assert bpf_world.two.received() == []
    assert bpf_world.two.path.counters().refused == 5


def test_every_new_index_of_a_train_is_reported_once(bpf_world: PathWorld) -> None:
    bpf_world.one.send(response(9, 99), client(1))
    send(bpf_world, train(OURS, 9, OURS, 9), client(1))
    bpf_world.one.receive(4)
    kinds = [event.kind for event in bpf_world.one.events(2)]
    assert kinds == [EventKind.FIRST, EventKind.FIRST]
