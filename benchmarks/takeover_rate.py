"""What the takeover costs an agent with 100,000 clients: decisions a second on one core, memory.

A decision: a packet event of a client whose owner vanished goes in, the initiation to it comes
out, and a moment later the confirmation goes in. A route: one of the two that BGP has of each
client. Everything is the agent's own code without its loop, in this process.

Peers, in the same process, over the same clients: for events and routes a plain dict that is
asked by endpoint, or by address, and written to, which is the least that a table can be; for
memory that dict with one tuple for each client.
"""

from __future__ import annotations

import gc
import random
import time
import tracemalloc
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import TypeVar

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.takeover.path import EventKind, PacketEvent
from anycastle.agent.takeover.plan import Plan
from anycastle.agent.takeover.takeover import Takeover
from anycastle.model.addresses import Endpoint
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key
from benchmarks.result import Result

CLIENTS = 100_000
EVENTS = 20_000
EPOCH = 1_800_000_000.0
OWN, OTHER = IPv4Address("10.64.0.1"), IPv4Address("10.64.0.2")
MIB = 2**20
T = TypeVar("T")


def run() -> Iterator[Result]:
    clients = [_client(number) for number in range(CLIENTS)]
    routes = [route for number, client in enumerate(clients) for route in _routes(number, client)]
    takeover, memory = _measured(lambda: _filled(clients, routes))
    plain, plain_memory = _measured(lambda: _plain(clients, routes))
    notes = f"{CLIENTS} clients, one core, without the loop"
    yield Result(
        benchmark="takeover_rate.memory",
        value=memory / MIB,
        unit="MiB",
        peer="a dict endpoint -> (client, owner, time)",
        peer_value=plain_memory / MIB,
        notes=notes,
    )
    del takeover, plain
    yield from _rates(clients, routes, notes)


def _rates(clients: list[Client], routes: list[ClientRoute], notes: str) -> Iterator[Result]:
    """Times without tracemalloc, which slows everything down."""
    began = time.perf_counter()
    takeover = _filled(clients, routes)
    told = time.perf_counter() - began
    began = time.perf_counter()
    plain = _plain(clients, routes)
    inserted = time.perf_counter() - began
    yield _rate("routes", len(routes) / told, "a dict insert", len(routes) / inserted, notes)
    chosen = random.Random(4).sample(range(CLIENTS), EVENTS)  # noqa: S311 nothing secret
    endpoints = [_endpoint(number) for number in chosen]
    for route in routes:
        takeover.route(route.prefix, None, 1.0, EPOCH + 1.0)
    yield _rate(
        "decisions",
        EVENTS / _decide(takeover, clients, chosen, endpoints),
        "a dict lookup and insert",
        EVENTS / _look_up(plain, endpoints),
        f"{EVENTS} events of different clients, each initiated and confirmed; {notes}",
    )
    yield _rate(
        "ignored",
        EVENTS / _ignore(takeover, endpoints),
        "a dict lookup and insert",
        EVENTS / _look_up(plain, endpoints),
        f"{EVENTS} events of clients that are here already; {notes}",
    )


def _rate(name: str, value: float, peer: str, peer_value: float, notes: str) -> Result:
    return Result(
        benchmark=f"takeover_rate.{name}",
        value=value,
        unit="1/s",
        peer=peer,
        peer_value=peer_value,
        notes=notes,
    )


def _decide(
    takeover: Takeover, clients: list[Client], chosen: list[int], endpoints: list[Endpoint]
) -> float:
    """Seconds until each has been initiated to and confirmed."""
    initiated, now = 0, 2.0
    began = time.perf_counter()
    for number, endpoint in zip(chosen, endpoints, strict=True):
        now += 0.0001
        plan = takeover.packet(PacketEvent(EventKind.FOREIGN, endpoint, now), now, EPOCH + now)
        initiated += len(plan.initiate)
        takeover.confirmed(clients[number].id, endpoint, EPOCH + now, now, EPOCH + now)
    took = time.perf_counter() - began
    if initiated != len(chosen):
        raise AssertionError(f"{initiated} of {len(chosen)} clients were initiated to")
    return took


def _ignore(takeover: Takeover, endpoints: list[Endpoint]) -> float:
    began = time.perf_counter()
    for endpoint in endpoints:
        plan = takeover.packet(PacketEvent(EventKind.FOREIGN, endpoint, 10.0), 10.0, EPOCH + 10.0)
        if plan.initiate:
            raise AssertionError(f"{endpoint} is here already, and was initiated to")
    return time.perf_counter() - began


def _look_up(
    plain: dict[Endpoint, tuple[str, IPv4Address, float]], wanted: list[Endpoint]
) -> float:
    began = time.perf_counter()
    for endpoint in wanted:
        client, _, since = plain[endpoint]
        plain[endpoint] = (client, OWN, since + 1.0)
    return time.perf_counter() - began


def _filled(clients: list[Client], routes: list[ClientRoute]) -> Takeover:
    takeover = Takeover(OWN, 300)
    takeover.clock("", 0.0, EPOCH)
    takeover.replace_clients(clients, 0.0, EPOCH)
    plan = Plan()
    for route in routes:
        plan.merge(takeover.route(route.prefix, route, 0.5, EPOCH + 0.5))
    if len(plan.put_relays) != len(clients):
        raise AssertionError(f"{len(plan.put_relays)} relays for {len(clients)} clients")
    return takeover


def _plain(
    clients: list[Client], routes: list[ClientRoute]
) -> dict[Endpoint, tuple[str, IPv4Address, float]]:
    """As the table, one insert for each route; a client's second one finds the first."""
    table: dict[Endpoint, tuple[str, IPv4Address, float]] = {}
    for number, route in enumerate(routes):
        assert route.owner is not None
        table[route.endpoint] = (clients[number // 2].id, route.owner, route.confirmed_at)
    return table


def _measured(make: Callable[[], T]) -> tuple[T, int]:
    """What it makes, and the bytes that it holds."""
    gc.collect()
    tracemalloc.start()
    try:
        made = make()
        gc.collect()
        return made, tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def _client(number: int) -> Client:
    return Client(
        id=f"{number:032x}",
        name=f"client-{number}",
        addresses=(IPv4Address("10.128.0.0") + number, IPv6Address("fd00:200::") + number),
        credentials=(Credential(id=f"k{number}", public_key=Key(number.to_bytes(32, "big"))),),
    )


def _endpoint(number: int) -> Endpoint:
    """Four clients behind each NAT."""
    return Endpoint(IPv4Address("100.64.0.0") + number // 4, 40_000 + number % 4)


def _routes(number: int, client: Client) -> list[ClientRoute]:
    endpoint = _endpoint(number)
    return [
        ClientRoute(ip_network(address), endpoint, EPOCH - number / 1000, OTHER)
        for address in client.addresses
    ]
