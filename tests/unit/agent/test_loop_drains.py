"""The loop in a drain and in a stop, on fakes of everything around it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, ip_address
from pathlib import Path
from typing import Any

import pytest

from anycastle.agent import draining, sessions, work
from anycastle.agent.assembly import load_order
from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.health import machine
from anycastle.agent.health.probe import Probe, Severity, Surroundings
from anycastle.agent.inbox import (
    FrameCame,
    OthersChanged,
    RouteLearned,
    StopAsked,
)
from anycastle.model.addresses import Endpoint
from anycastle.model.codec import Key
from anycastle.model.feed import Change, NodeOrder, Snapshot
from tests.support.loop_world import World, running
from tests.support.node import client

HOME = Endpoint(ip_address("203.0.113.1"), 4000)
OTHER = IPv4Address("10.64.0.2")


def one_probe(_: Surroundings) -> list[Probe]:
    async def check() -> str:
        return ""

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


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with running(tmp_path) as made:
        yield made


def sessions_time() -> float:
    """A moment ago, as handshakes are timed."""
    return time.time() - 1


def key_of(number: int) -> Key:
    return client(number).credentials[0].public_key


async def test_stop_demotes_waits_and_withdraws(world: World) -> None:
    await world.up(client(0))
    world.inbox.put(StopAsked("SIGTERM"))
    await world.until(lambda: world.diary[-1:] == ["announce demoted"])
    assert not world.loop._done
    await world.until(lambda: world.loop._done)
    assert world.diary[-1:] == ["withdraw"]
    assert world.wireguard.state is not None, "the data path stays"


async def test_stop_of_a_node_that_does_not_announce_is_immediate(world: World) -> None:
    world.inbox.put(StopAsked("SIGTERM"))
    await world.until(lambda: world.loop._done, 0.3)
    assert "withdraw" not in world.diary


def order(seconds: float = 600.0, **values: Any) -> NodeOrder:
    now = time.time()
    known: dict[str, Any] = {"name": "ams-1", "drain": True, "since": now}
    return NodeOrder(**(known | {"deadline": now + seconds} | values))


def send(world: World, revision: int, *orders: NodeOrder) -> None:
    change = Change(after=revision - 1, revision=revision, reason="test", nodes=orders)
    world.inbox.put(FrameCame(change))


def phase(world: World) -> str | None:
    status = world.state.report().drain
    return None if status is None else status.phase.value


async def test_an_order_drains_and_a_resume_brings_back(world: World) -> None:
    assert world.state.spec.name == order().name
    world.speaker.announced_by[OTHER] = False
    await world.up(client(0))
    world.wireguard.session(key_of(0), HOME, sessions_time())
    await world.until(lambda: world.speaker.clients)
    send(world, 2, order(name="another"))
    send(world, 3, order(reason="new disk"))
    await world.until(lambda: phase(world) == "leaving")
    assert world.diary[-1] == "announce demoted"
    await world.until(lambda: phase(world) == "moving")
    assert world.diary[-1] == "withdraw"
    assert world.state.report().reason == "asked to drain: new disk"
    assert "node.drained" not in world.control.kinds()
    assert world.speaker.clients, "it keeps serving what still reaches it"
    (prefix, *_) = world.speaker.clients
    newer = ClientRoute(prefix, HOME, time.time() + 1, OTHER)
    world.speaker.heard[prefix] = newer
    world.inbox.put(RouteLearned(prefix))
    await world.until(lambda: phase(world) == "drained")
    assert world.control.kinds().count("node.drained") == 1
    await world.until(lambda: world.control.reports[-1].drain is not None)
    send(world, 4, NodeOrder(name="ams-1", drain=False))
    await world.until(lambda: world.state.machine.state.value == "UP")
    assert phase(world) is None


async def test_a_drain_without_another_node_stays_announced_until_there_is_one(
    world: World,
) -> None:
    await world.up(client(0))
    send(world, 2, order(0.3))
    await world.until(lambda: phase(world) == "overdue")
    assert world.diary[-1] == "announce demoted"
    assert "no other node is well" in world.state.report().reason
    world.speaker.announced_by[OTHER] = False
    world.inbox.put(OthersChanged())
    await world.until(lambda: phase(world) == "drained")
    assert world.diary[-1] == "withdraw"


async def test_a_forced_order_asks_nobody(world: World) -> None:
    await world.up(client(0))
    send(world, 2, order(force=True))
    await world.until(lambda: phase(world) == "drained")
    assert world.diary[-2:] == ["announce demoted", "withdraw"]


async def test_a_snapshot_without_the_order_ends_the_drain(world: World) -> None:
    world.speaker.announced_by[OTHER] = False
    await world.up(client(0))
    send(world, 2, order())
    await world.until(lambda: phase(world) == "drained")
    world.snapshot(client(0), revision=9)
    await world.until(lambda: world.state.machine.state.value == "UP")


async def test_an_agent_that_starts_with_an_order_never_announces(tmp_path: Path) -> None:
    def prepare(world: World) -> None:
        world.speaker.announced_by[OTHER] = False
        standing = order()
        snapshot = Snapshot(
            deployment="test", epoch="e", revision=3, clients=(client(0),), nodes=(standing,)
        )
        world.state.cache.put(snapshot)
        load_order(world.state)

    async with running(tmp_path, prepare) as world:
        await world.until(lambda: phase(world) == "drained")
        assert world.state.report().drain is not None
        await world.until(lambda: world.state.drain_status().ready)  # type: ignore[union-attr]
        assert not [word for word in world.diary if "announce" in word]


async def test_a_stop_waits_for_sessions_while_another_node_announces(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(draining, "STOP_LIMIT", 0.8)
    world.speaker.announced_by[OTHER] = False
    await world.up(client(0))
    world.wireguard.session(key_of(0), HOME, sessions_time())
    await world.until(lambda: world.speaker.clients)
    began = time.monotonic()
    world.inbox.put(StopAsked("SIGTERM"))
    await world.until(lambda: world.loop._done)
    assert time.monotonic() - began >= 0.8
    assert "withdraw" in world.diary


async def test_a_stop_ends_when_the_last_session_has_moved(world: World) -> None:
    world.speaker.announced_by[OTHER] = False
    await world.up(client(0))
    world.wireguard.session(key_of(0), HOME, sessions_time())
    await world.until(lambda: world.speaker.clients)
    world.inbox.put(StopAsked("SIGTERM"))
    await world.until(lambda: "withdraw" in world.diary)
    assert not world.loop._done
    (prefix, *_) = world.speaker.clients
    world.speaker.heard[prefix] = ClientRoute(prefix, HOME, time.time() + 1, OTHER)
    world.inbox.put(RouteLearned(prefix))
    await world.until(lambda: world.loop._done)
