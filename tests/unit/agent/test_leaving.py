from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from anycastle.agent import settings as files
from anycastle.agent import work
from anycastle.agent.inbox import ReloadAsked
from anycastle.agent.leaving import LIMIT, Leaving
from anycastle.agent.routing.driver import Peering, RoutingState
from anycastle.agent.settings import Settings
from anycastle.model.node import Loopbacks, Peer
from tests.support.loop_world import World, running, write_settings
from tests.support.node import client, node_spec


def peer(number: int, name: str = "") -> Peer:
    own = node_spec().loopbacks
    loopbacks = Loopbacks(own.v4 + number - 1, own.v6 + number - 1)
    return Peer(name=name or f"ams-{number}", datacentre="ams", loopbacks=loopbacks)


def routing(*up: str, down: tuple[str, ...] = ()) -> RoutingState:
    """What the daemon says of sessions with these nodes."""
    states = [(name, True) for name in up] + [(name, False) for name in down]
    return RoutingState(True, tuple(Peering(f"peer-{n}", "peer", is_up) for n, is_up in states))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """With two peers, ams-2 and ams-3."""
    write_settings(tmp_path, node_spec(), peer(2), peer(3))
    return files.load(tmp_path)


def with_peers(settings: Settings, *peers: Peer) -> Settings:
    return Settings(settings.spec, peers, settings.service_key)


def names(settings: Settings | None) -> list[str]:
    assert settings is not None
    return [one.name for one in settings.peers]


def test_a_peer_that_speaks_outlives_its_line(settings: Settings) -> None:
    leaving = Leaving()
    new = with_peers(settings, peer(2))
    kept = leaving.reloaded(settings, new, routing("ams-2", "ams-3"), 0)
    assert names(kept) == ["ams-2", "ams-3"]
    assert leaving.ended(kept, routing("ams-2", "ams-3"), 1) is None
    assert names(leaving.ended(kept, routing("ams-2", down=("ams-3",)), 2)) == ["ams-2"]
    assert leaving.ended(new, routing("ams-2"), 3) is None


@pytest.mark.parametrize("seen", [None, RoutingState(False), routing("ams-2", down=("ams-3",))])
def test_a_silent_one_goes_with_its_line(settings: Settings, seen: RoutingState | None) -> None:
    new = with_peers(settings, peer(2))
    assert names(Leaving().reloaded(settings, new, seen, 0)) == ["ams-2"]


def test_it_is_given_up_in_the_end_however_often_settings_are_read(settings: Settings) -> None:
    leaving, seen = Leaving(), routing("ams-2", "ams-3")
    new = with_peers(settings, peer(2))
    kept = leaving.reloaded(settings, new, seen, 0)
    kept = leaving.reloaded(kept, new, seen, LIMIT / 2)
    assert leaving.ended(kept, seen, LIMIT - 1) is None
    assert names(leaving.ended(kept, seen, LIMIT)) == ["ams-2"]


def test_one_that_comes_back_stays(settings: Settings) -> None:
    leaving, seen = Leaving(), routing("ams-2", "ams-3")
    kept = leaving.reloaded(settings, with_peers(settings, peer(2)), seen, 0)
    back = leaving.reloaded(kept, settings, seen, 1)
    assert back == settings
    assert leaving.ended(back, routing("ams-2"), LIMIT + 1) is None


@pytest.mark.parametrize("heir", [peer(3, "ams-9"), peer(9, "ams-3")])
def test_an_address_or_a_name_has_one_owner(settings: Settings, heir: Peer) -> None:
    new = with_peers(settings, peer(2), heir)
    assert Leaving().reloaded(settings, new, routing("ams-2", "ams-3"), 0) == new


CONFIGURATION = "/etc/bird/bird.conf"


@pytest.fixture
async def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(work, "ROUTING_LOOK", 0.05)
    async with running(tmp_path) as made:
        yield made


async def test_an_agent_lets_go_of_a_peer_when_it_falls_silent(world: World) -> None:
    world.snapshot(client(0))
    write_settings(world.state.directory, world.state.spec, peer(2), peer(3))
    world.inbox.put(ReloadAsked())
    await world.until(lambda: world.driver.files == {CONFIGURATION: "ams-2 ams-3"})
    world.driver.speaking = {"ams-2", "ams-3"}
    seen = world.state.around
    await world.until(lambda: seen.routing and len(seen.routing.peerings) == 3)

    write_settings(world.state.directory, world.state.spec, peer(2))
    world.inbox.put(ReloadAsked())
    await world.until(lambda: world.state.settings.peers == (peer(2), peer(3)))
    assert world.driver.files == {CONFIGURATION: "ams-2 ams-3"}

    world.driver.speaking = {"ams-2"}
    await world.until(lambda: world.driver.files == {CONFIGURATION: "ams-2"})
    assert world.state.settings.peers == (peer(2),)
