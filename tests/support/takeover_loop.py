"""A loop on fakes, with clients of other nodes: for tests of takeover in the loop."""

from __future__ import annotations

import time
from ipaddress import IPv4Address, ip_address, ip_network

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.health.probe import Probe, Severity, Surroundings
from anycastle.agent.inbox import RouteLearned
from anycastle.model.addresses import Endpoint
from anycastle.model.codec import Key
from tests.support.loop_world import World
from tests.support.node import client

HOME = Endpoint(ip_address("203.0.113.1"), 4000)
CAFE = Endpoint(ip_address("203.0.113.9"), 5000)
OTHER = IPv4Address("10.64.0.2")
THIRD = IPv4Address("10.64.0.3")


def healthy(_: Surroundings) -> list[Probe]:
    async def check() -> str:
        return ""

    return [Probe("test", Severity.HARD, check)]


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


def told(world: World, kind: str) -> list[str]:
    return [event.message for event in world.control.events if event.kind == kind]


async def metric(world: World, line: str) -> None:
    await world.until(lambda: line in world.state.metrics_text().decode().splitlines())
