"""What follows from what: the loop on fakes of everything around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path

import msgspec
import pytest

from anycastle.agent import loop as loop_module
from anycastle.agent import sessions, work
from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.health import machine
from anycastle.agent.health.probe import Probe, Severity, Surroundings
from anycastle.agent.health.probes import apply, device
from anycastle.agent.inbox import (
    KernelChanged,
    OthersChanged,
    ReloadAsked,
    RouteLearned,
)
from anycastle.agent.links import LinkFlag
from anycastle.model.addresses import Endpoint
from anycastle.model.codec import Key
from anycastle.model.node import Loopbacks, Peer
from tests.support.loop_world import World, running, write_settings
from tests.support.node import client

HOME = Endpoint(ip_address("203.0.113.1"), 4000)
OTHER = IPv4Address("10.64.0.2")
ILLNESS: dict[str, str] = {}
"""What the one probe of these tests complains about."""


def one_probe(_: Surroundings) -> list[Probe]:
    async def check() -> str:
        return ILLNESS.get("complaint", "")

    return [Probe("test", Severity.HARD, check)]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that takes seconds takes a fraction of one."""
    monkeypatch.setattr(work, "probes", one_probe)
    monkeypatch.setattr(work, "SAMPLE_MIN", 0.02)
    monkeypatch.setattr(work, "RETRY", 0.05)
    monkeypatch.setattr(work, "ROUTING_LOOK_BAD", 0.05)
    monkeypatch.setattr(machine, "DRAIN_WAIT", 0.1)
    monkeypatch.setattr(sessions, "GRACE", 0.1)
    ILLNESS.clear()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as made:
        yield made


def sessions_time() -> float:
    """A moment ago, as handshakes are timed."""
    return time.time() - 1


def key_of(number: int) -> Key:
    return client(number).credentials[0].public_key


async def test_order_of_a_start(world: World) -> None:
    await world.up(client(0))
    assert [what for what in world.diary if what != "clients complete"] == [
        "device",
        "load",
        "speak",
        "announce",
    ]
    assert world.control.kinds().count("node.announced") == 1


async def test_a_node_that_never_saw_a_snapshot_does_not_announce(world: World) -> None:
    await world.until(lambda: world.speaker.running)
    await asyncio.sleep(0.6)
    assert "announce" not in world.diary
    assert world.state.report().reason == "no snapshot of the clients yet: not connected yet"
    await world.up(client(0))


async def test_announces_only_after_the_kernel_holds_the_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(world: World) -> None:
        world.wireguard.refuse = {key_of(0)}

    monkeypatch.setattr(work, "probes", lambda around: [apply.probe(around)])

    async with running(tmp_path, refusing) as world:
        await world.until(lambda: world.speaker.running)
        world.snapshot(client(0))
        await world.until(lambda: world.state.configured)
        await asyncio.sleep(0.5)
        assert "announce" not in world.diary
        assert "the fake device refuses" in world.state.report().reason
        world.wireguard.refuse.clear()
        await world.until(lambda: world.diary[-1:] == ["announce"])


async def test_without_a_snapshot_peers_stay_as_they_are(world: World) -> None:
    await world.up(client(0))
    world.state.cache._position = None  # as after a damaged state file
    world.state.cache._clients.clear()
    await world.loop._work._converge()
    assert world.wireguard.state is not None
    assert key_of(0) in world.wireguard.state.peers


async def test_a_change_touches_its_peers_only_and_does_not_read(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.up(client(0))
    await world.until(lambda: world.state.revision == 1)
    monkeypatch.setattr(world.wireguard, "read", None)  # reading would raise now
    world.wireguard.sent.clear()
    world.change(1, client(1))
    await world.until(lambda: world.state.revision == 2)
    assert [str(o).split()[:2] for batch in world.wireguard.sent for o in batch] == [
        ["peer", "put"]
    ]


async def test_a_removed_client_loses_peer_and_route(world: World) -> None:
    await world.up(client(0), client(1))
    world.wireguard.session(key_of(0), HOME, sessions_time())
    await world.until(lambda: len(world.speaker.clients) == 2)
    world.change(1, remove=("c0",))
    await world.until(lambda: not world.speaker.clients)
    await world.until(lambda: world.state.revision == 2)
    assert world.wireguard.state is not None
    assert set(world.wireguard.state.peers) == {key_of(1)}


async def test_a_confirmed_session_is_announced_and_reported(world: World) -> None:
    await world.up(client(0))
    at = sessions_time()
    world.wireguard.session(key_of(0), HOME, at)
    await world.until(lambda: world.speaker.clients)
    assert {str(route.prefix) for route in world.speaker.clients.values()} == {
        "10.200.0.16/32",
        "fd00:200::10/128",
    }
    assert {route.confirmed_at for route in world.speaker.clients.values()} == {at}
    await world.until(lambda: world.control.reports[-1].sessions)
    assert world.control.reports[-1].sessions[0].client == "c0"
    assert "session.confirmed" in world.control.kinds()
    assert world.diary.count("clients complete") == 1


async def test_a_client_that_moved_is_withdrawn_and_its_keys_forgotten(world: World) -> None:
    await world.up(client(0))
    at = sessions_time()
    world.wireguard.session(key_of(0), HOME, at)
    await world.until(lambda: world.speaker.clients)
    prefix = ip_network("10.200.0.16/32")
    world.speaker.heard[prefix] = ClientRoute(prefix, HOME, at + 0.5, OTHER)
    world.inbox.put(RouteLearned(prefix))
    await world.until(lambda: "session.lost" in world.control.kinds())
    assert key_of(0) in world.wireguard.activity, "the grace is not over"
    assert world.speaker.clients
    await world.until(lambda: key_of(0) not in world.wireguard.activity)
    assert not world.speaker.clients
    assert world.wireguard.state is not None
    assert key_of(0) in world.wireguard.state.peers


async def test_a_failing_probe_withdraws_when_another_announces(world: World) -> None:
    world.speaker.announced_by = {OTHER: False}
    await world.up(client(0))
    ILLNESS["complaint"] = "is broken"
    await world.until(lambda: world.diary[-1:] == ["withdraw"])
    assert "announce demoted" in world.diary
    assert world.control.kinds()[-2:] == ["node.demoted", "node.withdrawn"]
    assert world.state.report().reason == "test: is broken"
    ILLNESS.clear()
    await world.until(lambda: world.diary[-1:] == ["announce"])


async def test_the_last_announcer_stays(world: World) -> None:
    await world.up(client(0))
    ILLNESS["complaint"] = "is broken"
    await world.until(lambda: world.diary[-1:] == ["announce demoted"])
    await asyncio.sleep(0.5)
    assert "withdraw" not in world.diary
    world.speaker.announced_by = {OTHER: False}
    world.inbox.put(OthersChanged())
    await world.until(lambda: world.diary[-1:] == ["withdraw"])


async def test_a_vanished_device_withdraws_at_once_and_is_made_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.speaker.announced_by = {OTHER: False}
    await world.up(client(0))
    world.wireguard.session(key_of(0), HOME, sessions_time())
    await world.until(lambda: world.speaker.clients)
    monkeypatch.setattr(loop_module, "flags", lambda _: None)
    monkeypatch.setattr(device, "flags", lambda _: None)
    world.wireguard.vanish()
    world.inbox.put(KernelChanged())
    await world.until(lambda: "withdraw" in world.diary, 0.3)
    assert not world.speaker.clients
    assert world.control.kinds().count("node.withdrawn") == 1
    await world.until(lambda: world.wireguard.state is not None)
    assert world.wireguard.state is not None
    assert key_of(0) in world.wireguard.state.peers
    up = LinkFlag.UP | LinkFlag.RUNNING
    monkeypatch.setattr(loop_module, "flags", lambda _: up)
    await world.until(lambda: world.diary[-1:] == ["announce"])


async def test_a_kernel_that_refuses_is_told_of_once_and_retried(tmp_path: Path) -> None:
    def broken(world: World) -> None:
        world.wireguard.broken = True

    async with running(tmp_path, broken) as world:
        world.snapshot(client(0))
        await world.until(lambda: "apply.failed" in world.control.kinds())
        await asyncio.sleep(0.3)
        assert world.control.kinds().count("apply.failed") == 1
        assert "the data path is not configured yet" in world.state.report().reason
        assert "announce" not in world.diary
        world.wireguard.broken = False
        await world.until(lambda: world.diary[-1:] == ["announce"])
        assert world.state.around.apply_errors == ()


async def test_a_daemon_that_refuses_is_the_reason(tmp_path: Path) -> None:
    def broken(world: World) -> None:
        world.driver.problem = "bird: this node has no bird"

    async with running(tmp_path, broken) as world:
        world.snapshot(client(0))
        reason = "bird: this node has no bird"
        await world.until(lambda: world.state.report().reason == reason)
        assert "speak" not in world.diary
        world.driver.problem = ""
        await world.until(lambda: world.diary[-1:] == ["announce"])


async def test_a_dead_daemon_is_loaded_again(world: World) -> None:
    await world.up(client(0))
    world.driver.files = {}  # it runs no more
    world.loop._work.look.poke()
    await world.until(lambda: world.diary.count("load") == 2)


async def test_a_lost_session_is_down_and_comes_back(world: World) -> None:
    await world.up(client(0))
    world.speaker.up = False
    await world.until(lambda: world.diary[-1:] == ["withdraw"])
    assert world.state.report().reason == "no BGP session with bird"
    world.speaker.up = True
    await world.until(lambda: world.diary[-1:] == ["announce"])


async def test_reload_of_a_new_peer(world: World) -> None:
    await world.up(client(0))
    loopbacks = Loopbacks(OTHER, IPv6Address("fd00:64::2"))
    peer = Peer(name="ams-2", datacentre="ams", loopbacks=loopbacks)
    write_settings(world.state.directory, world.state.spec, peer)
    world.inbox.put(ReloadAsked())
    await world.until(lambda: world.driver.files == {"/etc/bird/bird.conf": "ams-2"})
    assert world.diary[-1:] == ["load"], "and nothing was withdrawn"


async def test_reload_of_nonsense_keeps_the_old(world: World) -> None:
    await world.up(client(0))
    before = world.state.settings
    path = world.state.directory / "node.json"
    path.write_text(path.read_text().replace('"asn":64512', '"asn":"x"'))
    world.inbox.put(ReloadAsked())
    await world.until(lambda: "settings.refused" in world.control.kinds())
    assert "asn: Expected `int`, got `str`" in world.control.events[-1].message
    assert world.state.settings is before
    assert world.state.machine.state.value == "UP"


async def test_reload_of_what_cannot_change_ends_the_agent_in_order(world: World) -> None:
    await world.up(client(0))
    changed = msgspec.structs.replace(world.state.spec, asn=64513)
    write_settings(world.state.directory, changed)
    world.inbox.put(ReloadAsked())
    await world.until(lambda: world.loop._done)
    assert world.diary[-2:] == ["announce demoted", "withdraw"]


async def test_a_handler_that_fails_ends_the_agent(tmp_path: Path) -> None:
    def broken(_: object) -> None:
        raise ZeroDivisionError

    async def fail() -> None:
        async with running(tmp_path) as world:
            world.loop._handlers[OthersChanged] = broken
            world.inbox.put(OthersChanged())
            await asyncio.sleep(0.1)

    with pytest.raises(ExceptionGroup) as caught:
        await fail()
    assert caught.group_contains(ZeroDivisionError)
