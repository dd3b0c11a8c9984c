"""Takeover in the loop, on fakes of kernel, packet path and BGP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest

from anycastle.agent import sessions, taking_over, work
from anycastle.agent.health.probes import clock
from anycastle.agent.takeover import machine
from anycastle.model.addresses import Endpoint
from anycastle.model.deployment import Clock
from tests.support.loop_world import HEALTH, World, running
from tests.support.takeover_loop import (
    CAFE,
    HOME,
    OTHER,
    healthy,
    hear,
    key_of,
    metric,
    packet,
    relayed,
    told,
    trusted,
)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "probes", healthy)
    monkeypatch.setattr(work, "SAMPLE_MIN", 0.05)
    monkeypatch.setattr(work, "RETRY", 0.05)
    monkeypatch.setattr(taking_over, "SPACING", 0.02)
    monkeypatch.setattr(taking_over, "RETRY", 0.05)
    monkeypatch.setattr(sessions, "GRACE", 0.1)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as made:
        yield made


def answer(world: World, number: int, endpoint: Endpoint = HOME, index: int = 7) -> None:
    """The client answers: WireGuard has the session, the path saw the packet."""
    world.wireguard.session(key_of(number), endpoint, time.time())
    world.path.learn(index, endpoint)
    world.path.answer(index, endpoint, time.monotonic())


async def test_a_client_of_another_node_is_taken_over(world: World) -> None:
    await trusted(world, 0)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    packet(world)
    await world.until(lambda: world.wireguard.initiated)
    (initiation,) = world.wireguard.initiated
    assert (initiation.peer.public_key, initiation.endpoint) == (key_of(0), HOME)
    assert not initiation.anew
    assert world.path.relays() == {HOME: OTHER}, "relayed meanwhile"
    answer(world, 0)
    await world.until(lambda: world.speaker.clients)
    assert {route.endpoint for route in world.speaker.clients.values()} == {HOME}
    await world.until(lambda: told(world, "takeover.confirmed"))
    assert world.path.relays() == {HOME: OTHER}, "packets under the old key are on their way"
    assert told(world, "session.confirmed")
    await metric(world, 'anycastle_takeover_results_total{result="confirmed"} 1.0')
    await metric(world, 'anycastle_takeover_seconds_count{result="confirmed"} 1.0')
    assert world.state.report().takeover == "bpf"
    assert world.state.report().takeovers.confirmed == 1


async def test_an_answer_is_noticed_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(work, "SAMPLE_MIN", 30.0)
    monkeypatch.setattr(work, "SAMPLE_MAX", 30.0)
    await trusted(world, 0)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    packet(world)
    await world.until(lambda: world.wireguard.initiated)
    # The packet is seen before WireGuard has understood it.
    world.path.learn(7, HOME)
    world.path.answer(7, HOME, time.monotonic())
    await asyncio.sleep(0.06)
    world.wireguard.session(key_of(0), HOME, time.time())
    await world.until(lambda: world.speaker.clients, 5.0)


async def test_the_rekeying_of_an_own_session_is_no_news(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await trusted(world, 0)
    world.wireguard.session(key_of(0), HOME, time.time() - 60)
    await world.until(lambda: world.speaker.clients)
    monkeypatch.setattr(work, "SAMPLE_MIN", 30.0)
    monkeypatch.setattr(work, "SAMPLE_MAX", 30.0)
    await asyncio.sleep(0.2)
    sampled_at = world.state.around.sampled_at
    answer(world, 0, index=8)
    await asyncio.sleep(0.3)
    assert world.state.around.sampled_at == sampled_at


async def test_whom_nobody_knows_gets_nothing(world: World) -> None:
    await trusted(world, 0)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    packet(world, CAFE)
    await asyncio.sleep(0.3)
    assert world.wireguard.initiated == []
    assert world.path.counters().unknown == 1


async def test_an_unanswered_initiation_is_ended_and_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "RESPONSE", 0.1)
    monkeypatch.setattr(machine, "PATIENCE", 0.3)
    await trusted(world, 0)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    packet(world)
    await world.until(lambda: world.wireguard.initiated)
    assert key_of(0) in world.wireguard.activity
    await world.until(lambda: told(world, "takeover.gave_up"))
    await world.until(lambda: key_of(0) not in world.wireguard.activity)
    assert world.wireguard.state is not None
    assert key_of(0) in world.wireguard.state.peers, "the peer was made anew, and is silent"
    assert len(world.wireguard.initiated) == 1
    await metric(world, 'anycastle_takeover_seconds_count{result="gave_up"} 1.0')


async def test_a_lost_client_is_reset_and_its_indices_forgotten(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anycastle.agent.takeover.takeover.FORGET", 0.2)
    await trusted(world, 0)
    world.wireguard.session(key_of(0), HOME, time.time() - 60)
    world.path.learn(7, HOME)
    await world.until(lambda: world.speaker.clients)
    hear(world, 0, OTHER, age=1.0)
    await relayed(world, {HOME: OTHER})
    assert world.path.data(7, HOME, time.monotonic()) == "here", "the grace is not over"
    assert world.speaker.clients, "nor is its route missing before the winner's is everywhere"
    await world.until(lambda: not world.speaker.clients)
    await world.until(lambda: key_of(0) not in world.wireguard.activity)
    await world.until(lambda: world.path.mine == {})
    assert world.path.data(7, HOME, time.monotonic()) == OTHER


async def test_a_session_that_is_newer_than_the_winner_is_announced_anew(world: World) -> None:
    """After a partition: what others heard first is not what happened last."""
    await trusted(world, 0)
    world.wireguard.session(key_of(0), HOME, time.time() - 60)
    await world.until(lambda: world.speaker.clients)
    renewed = time.time() - 1
    sample = world.wireguard.activity[key_of(0)]
    world.wireguard.activity[key_of(0)] = msgspec.structs.replace(
        sample, latest_handshake=renewed, received=1000
    )
    await world.until(lambda: world.state.sessions.owned["c0"].handshake == renewed)
    assert {route.confirmed_at for route in world.speaker.clients.values()} != {renewed}
    hear(world, 0, OTHER, age=30.0)
    await world.until(
        lambda: {route.confirmed_at for route in world.speaker.clients.values()} == {renewed}
    )
    assert told(world, "session.lost") == []


async def test_an_owned_client_is_not_initiated_to(world: World) -> None:
    await trusted(world, 0)
    world.wireguard.session(key_of(0), HOME, time.time() - 60)
    await world.until(lambda: world.speaker.clients)
    hear(world, 0, OTHER, age=90.0)
    packet(world)
    await asyncio.sleep(0.3)
    assert world.wireguard.initiated == []
    assert world.path.relays() == {}


@pytest.mark.parametrize("trust", list(Clock))
async def test_a_bad_clock_initiates_nothing_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trust: Clock
) -> None:
    state = [clock.Clock(synchronised=trust is Clock.TRUSTED, offset=0.4, error=0.0)]
    monkeypatch.setattr(clock, "read", lambda: state[0])

    def strict(world: World) -> None:
        health = msgspec.structs.replace(HEALTH, clock=trust)
        spec = msgspec.structs.replace(world.state.spec, health=health)
        world.state.settings = replace(world.state.settings, spec=spec)

    async with running(tmp_path, strict) as world:
        await trusted(world, 0)
        hear(world, 0, OTHER)
        await relayed(world, {HOME: OTHER})
        await world.until(lambda: world.state.takeover.clock)
        packet(world)
        await asyncio.sleep(0.3)
        assert world.wireguard.initiated == []
        await metric(world, "anycastle_takeover_clock_good 0.0")
        assert world.path.data(4711, HOME, time.monotonic()) == OTHER, "relayed all the same"
        state[0] = clock.Clock(synchronised=True, offset=0.0, error=0.0)
        await world.until(lambda: told(world, "node.clock"))
        await metric(world, "anycastle_takeover_clock_good 1.0")
        world.path.data(4711, HOME, time.monotonic() + 2)
        await world.until(lambda: world.wireguard.initiated)


async def test_a_removed_client_does_not_come_back_by_an_initiation(world: World) -> None:
    await trusted(world, 0, 1)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    world.change(1, remove=("c0",))
    packet(world)
    await world.until(lambda: world.state.revision == 2)
    await asyncio.sleep(0.2)
    assert world.wireguard.state is not None
    assert key_of(0) not in world.wireguard.state.peers
    assert world.wireguard.initiated == []
    await relayed(world, {})


async def test_hundreds_of_takeovers_do_not_flood_the_control_plane(world: World) -> None:
    numbers = range(1, 301)
    await trusted(world, *numbers)
    for number in numbers:
        hear(world, number, OTHER, at=Endpoint(ip_address("203.0.113.1"), number))
    await world.until(lambda: len(world.path.relays()) == len(numbers), 20)
    at = time.time()
    for number in numbers:
        world.wireguard.session(key_of(number), Endpoint(HOME.address, number), at)
    await world.until(lambda: len(world.speaker.clients) == 2 * len(numbers), 20)
    kinds = world.control.kinds()
    assert 50 <= kinds.count("session.confirmed") < 250
    await world.until(lambda: any("more" in text for text in told(world, "session.confirmed")))
