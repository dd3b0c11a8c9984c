"""Takeover in the loop, on fakes of kernel, packet path and BGP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from ipaddress import IPv4Address, ip_address, ip_network
from pathlib import Path

import msgspec
import pytest

from anycastle.agent import sessions, taking_over, work
from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.health.probe import Probe, Severity, Surroundings
from anycastle.agent.health.probes import clock
from anycastle.agent.inbox import ReloadAsked, RouteLearned
from anycastle.agent.takeover import machine, reopening
from anycastle.agent.takeover.choose import NoPath
from anycastle.agent.takeover.fake import FakePath
from anycastle.agent.takeover.path import PacketPath, PathError
from anycastle.model.addresses import Endpoint
from anycastle.model.codec import Key
from anycastle.model.deployment import Clock, PathChoice, Takeover
from tests.support.loop_world import HEALTH, World, running, write_settings
from tests.support.node import client

HOME = Endpoint(ip_address("203.0.113.1"), 4000)
CAFE = Endpoint(ip_address("203.0.113.9"), 5000)
OTHER = IPv4Address("10.64.0.2")
THIRD = IPv4Address("10.64.0.3")


def healthy(_: Surroundings) -> list[Probe]:
    async def check() -> str:
        return ""

    return [Probe("test", Severity.HARD, check)]


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


def key_of(number: int) -> Key:
    return client(number).credentials[0].public_key


def hear(
    world: World, number: int, owner: IPv4Address | None, age: float = 60.0, at: Endpoint = HOME
) -> None:
    """BGP says who owns the client (None: nobody), since `age` seconds."""
    for address in client(number).addresses:
        prefix = ip_network(address)
        world.speaker.heard.pop(prefix, None)
        if owner is not None:
            world.speaker.heard[prefix] = ClientRoute(prefix, at, time.time() - age, owner)
        world.inbox.put(RouteLearned(prefix))


async def trusted(world: World, *numbers: int) -> None:
    """The node is up and relays."""
    await world.up(*(client(number) for number in numbers))
    await world.until(lambda: world.path.trusted)


async def relayed(world: World, relays: dict[Endpoint, IPv4Address | None]) -> None:
    await world.until(lambda: world.path.relays() == relays)


def packet(world: World, endpoint: Endpoint = HOME) -> None:
    """A data packet of a session that is not here."""
    world.path.data(4711, endpoint, time.monotonic())


def answer(world: World, number: int, endpoint: Endpoint = HOME, index: int = 7) -> None:
    """The client answers: WireGuard has the session, the path saw the packet."""
    world.wireguard.session(key_of(number), endpoint, time.time())
    world.path.learn(index, endpoint)
    world.path.answer(index, endpoint, time.monotonic())


def told(world: World, kind: str) -> list[str]:
    return [event.message for event in world.control.events if event.kind == kind]


async def metric(world: World, line: str) -> None:
    await world.until(lambda: line in world.state.metrics_text().decode().splitlines())


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


async def test_the_dead_owner_of_a_client_is_reported_to_and_not_relayed_to(world: World) -> None:
    await trusted(world, 0)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    hear(world, 0, None)
    await relayed(world, {HOME: None})
    packet(world)
    await world.until(lambda: world.wireguard.initiated)


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


async def test_a_path_that_cannot_be_had_costs_nothing_else(tmp_path: Path) -> None:
    def broken(world: World) -> None:
        world.path.broken = True

    async with running(tmp_path, broken) as world:
        await world.up(client(0))
        await world.until(lambda: told(world, "takeover.failed"))
        hear(world, 0, OTHER)
        await asyncio.sleep(0.3)
        assert told(world, "takeover.failed") == ["the fake packet path is broken"], "once"
        assert world.state.report().takeover == "none: the fake packet path is broken"
        await metric(world, 'anycastle_takeover_info{path="none"} 1.0')
        world.path.broken = False
        await relayed(world, {HOME: OTHER})
        await world.until(lambda: world.path.trusted)
        assert world.state.report().takeover == "bpf"


async def test_a_path_that_fails_meanwhile_is_brought_in_line_later(world: World) -> None:
    await trusted(world, 0, 1)
    world.path.broken = True
    hear(world, 0, OTHER)
    hear(world, 1, THIRD, at=CAFE)
    await asyncio.sleep(0.2)
    assert world.state.machine.state.value == "UP"
    world.path.broken = False
    await relayed(world, {HOME: OTHER, CAFE: THIRD})
    await world.until(lambda: world.path.trusted)


async def test_links_that_were_made_anew_get_their_programs_again(world: World) -> None:
    await trusted(world, 0)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    world.path.attached, world.path.trusted = None, False
    world.path._relays.clear()
    world.loop._work.converge.poke()
    await world.until(lambda: world.path.attached == (("up0",), "fabric0"))
    await relayed(world, {HOME: OTHER})
    await world.until(lambda: world.path.trusted)


async def test_after_a_restart_own_clients_are_purged_before_anything_is_relayed(
    tmp_path: Path,
) -> None:
    """What an earlier agent left says that this node's client is another's."""

    def left(world: World) -> None:
        world.path._relays.update({HOME: OTHER, CAFE: THIRD})
        trust = world.path.trust

        def watched(on: bool) -> None:
            assert HOME not in world.path._relays
            trust(on)

        world.path.trust = watched  # type: ignore[method-assign]
        world.wireguard.ensure()
        world.wireguard.session(key_of(0), HOME, time.time() - 60)

    async with running(tmp_path, left) as world:
        hear(world, 1, THIRD, at=CAFE)
        await trusted(world, 0, 1)
        await relayed(world, {CAFE: THIRD})


async def test_nothing_is_relayed_before_what_the_path_holds_was_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_over, "ATTEND", 0.05)
    readable: list[bool] = []

    def unreadable(world: World) -> None:
        relays = world.path.relays

        def read() -> dict[Endpoint, IPv4Address | None]:
            if not readable:
                raise PathError("busy")
            return relays()

        world.path.relays = read  # type: ignore[method-assign]

    async with running(tmp_path, unreadable) as world:
        await world.up(client(0))
        await world.until(lambda: told(world, "takeover.failed"))
        await world.until(lambda: world.state.around.sampled_at is not None)
        await asyncio.sleep(0.3)
        assert not world.path.trusted
        readable.append(True)
        await world.until(lambda: world.path.trusted)


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


async def test_switched_off_and_on_by_a_reload(world: World) -> None:
    await trusted(world, 0)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    spec = world.state.spec
    write_settings(
        world.state.directory, msgspec.structs.replace(spec, takeover=Takeover(enabled=False))
    )
    world.inbox.put(ReloadAsked())
    await world.until(lambda: world.path.attached is None)
    assert world.state.report().takeover == "off"
    assert world.state.machine.state.value == "UP"


async def test_without_any_packet_path_one_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reopening, "FIRST", 0.05)
    monkeypatch.setattr(taking_over, "ATTEND", 0.02)
    opened: list[PacketPath] = []

    def hopeless(world: World) -> None:
        def open_path(_: bool) -> PacketPath:
            opened.append(NoPath("bpf: EPERM") if len(opened) < 3 else world.path)
            return opened[-1]

        world.state.edges.data_path._open_path = open_path

    async with running(tmp_path, hopeless) as world:
        await world.up(client(0))
        await world.until(lambda: told(world, "takeover.failed"))
        hear(world, 0, OTHER)
        await relayed(world, {HOME: OTHER})
        await world.until(lambda: told(world, "takeover.restored"))
        await world.until(lambda: world.path.trusted)
        assert told(world, "takeover.failed") == ["none: bpf: EPERM"], "once"
        assert told(world, "takeover.restored") == ["packet path: bpf"]
        assert world.state.report().takeover == "bpf"
        await metric(world, 'anycastle_errors_total{kind="takeover"} 3.0')
        packet(world)
        await world.until(lambda: world.wireguard.initiated)
    assert len(opened) == 4


async def test_another_packet_path_by_a_reload(world: World) -> None:
    await trusted(world, 0)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    other = FakePath()
    world.state.edges.data_path._open_path = lambda _: other
    spec = msgspec.structs.replace(world.state.spec, takeover=Takeover(path=PathChoice.NFTABLES))
    write_settings(world.state.directory, spec)
    world.inbox.put(ReloadAsked())
    await world.until(lambda: other.relays() == {HOME: OTHER} and other.trusted)
    assert world.path.closed
    other.data(4711, HOME, time.monotonic())
    await world.until(lambda: world.wireguard.initiated)


async def test_a_packet_path_that_cannot_be_taken_away_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking_over, "ATTEND", 0.05)
    await trusted(world, 0)
    broken = FakePath()
    broken.attached, broken.broken = (("up0",), "fabric0"), True
    monkeypatch.setattr(world.path, "remove", broken.remove)
    data_path = world.state.edges.data_path
    data_path._open_path = lambda _: broken
    spec = msgspec.structs.replace(world.state.spec, takeover=Takeover(enabled=False))
    write_settings(world.state.directory, spec)
    world.inbox.put(ReloadAsked())
    await world.until(lambda: told(world, "takeover.failed"))
    await world.until(lambda: world.state.report().takeover.startswith("off: the fake"))
    broken.broken = False
    await world.until(lambda: broken.attached is None)
    await world.until(lambda: world.state.report().takeover == "off")


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
