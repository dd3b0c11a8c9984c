"""The packet path in the loop: had, lost, made anew, exchanged; on fakes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Address
from pathlib import Path

import msgspec
import pytest

from anycastle.agent import sessions, taking_over, work
from anycastle.agent.inbox import ReloadAsked
from anycastle.agent.takeover import reopening
from anycastle.agent.takeover.choose import NoPath
from anycastle.agent.takeover.fake import FakePath
from anycastle.agent.takeover.path import PacketPath, PathError
from anycastle.model.addresses import Endpoint
from anycastle.model.deployment import PathChoice, Takeover
from tests.support.loop_world import World, running, write_settings
from tests.support.node import client
from tests.support.takeover_loop import (
    CAFE,
    HOME,
    OTHER,
    THIRD,
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


async def test_the_dead_owner_of_a_client_is_reported_to_and_not_relayed_to(world: World) -> None:
    await trusted(world, 0)
    hear(world, 0, OTHER)
    await relayed(world, {HOME: OTHER})
    hear(world, 0, None)
    await relayed(world, {HOME: None})
    packet(world)
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
