"""An agent's loop on fakes: kernel, daemon, BGP speaker and control plane in memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import msgspec

from anycastle.agent import settings as settings_files
from anycastle.agent.announcing import Announcing
from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.cache import Cache
from anycastle.agent.datapath import DataPath
from anycastle.agent.events import Emitter
from anycastle.agent.health.probe import Surroundings
from anycastle.agent.inbox import FrameCame, Inbox, StopAsked
from anycastle.agent.loop import Loop
from anycastle.agent.metrics import Metrics
from anycastle.agent.netlink.fake import FakeNetwork
from anycastle.agent.routing.driver import Files, Peering, RoutingError, RoutingState
from anycastle.agent.sessions import Sessions
from anycastle.agent.state import Edges, State
from anycastle.agent.takeover.fake import FakePath
from anycastle.agent.wireguard.fake import FakeWireGuard
from anycastle.model.addresses import Network
from anycastle.model.client import Client
from anycastle.model.codec import to_json
from anycastle.model.deployment import Clock, Health
from anycastle.model.feed import Change, Snapshot
from anycastle.model.node import NodeSpec, Peer
from anycastle.model.status import Event, NodeReport
from tests.support.node import SERVICE_KEY, node_spec

HEALTH = Health(interval=0.1, rise=2, fall=2, hold_down=0.3, hold_down_max=1.0, clock=Clock.TRUSTED)


@dataclass
class FakeSpeaker:
    """diary: what it was told, in order; shared with the other fakes."""

    diary: list[str]
    up: bool = True
    running: bool = False
    clients: dict[Network, ClientRoute] = field(default_factory=dict)
    heard: dict[Network, ClientRoute] = field(default_factory=dict)
    announced_by: dict[IPv4Address, bool] = field(default_factory=dict)

    @property
    def established(self) -> dict[str, bool]:
        up = self.up and self.running
        return {"client": up, "anycast": up}

    async def run(self) -> None:
        self.diary.append("speak")
        self.running = True
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self.running = False

    def announce_clients(self, routes: Sequence[ClientRoute]) -> None:
        self.clients.update((route.prefix, route) for route in routes)

    def withdraw_clients(self, prefixes: Sequence[Network]) -> None:
        for prefix in prefixes:
            del self.clients[prefix]

    def clients_complete(self) -> None:
        self.diary.append("clients complete")

    def announce_anycast(self, *, demoted: bool) -> None:
        self.diary.append("announce demoted" if demoted else "announce")

    def withdraw_anycast(self) -> None:
        self.diary.append("withdraw")

    def announcers(self) -> dict[IPv4Address, bool]:
        return self.announced_by

    def others(self, prefix: Network) -> list[ClientRoute]:
        return [self.heard[prefix]] if prefix in self.heard else []


@dataclass
class FakeDriver:
    """A daemon that takes everything, unless there is a problem. speaking: peers whose
    sessions are up."""

    diary: list[str]
    name: str = "bird"
    problem: str = ""
    speaking: set[str] = field(default_factory=set)
    files: Files = field(default_factory=dict)

    def render(self, spec: NodeSpec, peers: Sequence[Peer]) -> Files:
        return {"/etc/bird/bird.conf": " ".join(peer.name for peer in peers)}

    async def check(self, files: Files) -> None:
        del files

    async def load(self, files: Files) -> bool:
        if self.problem:
            raise RoutingError(self.problem)
        self.diary.append("load")
        self.files = files
        return True

    async def state(self) -> RoutingState:
        edge = Peering("edge-edge0-4", "edge", up=True)
        peers = (Peering(f"peer-{name}", "peer", up=True) for name in self.speaking)
        running = bool(self.files) and not self.problem
        return RoutingState(running=running, peerings=(edge, *peers))

    async def stop(self) -> None:
        self.files = {}


@dataclass
class FakeControl:
    reports: list[NodeReport] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)

    def report(self, report: NodeReport) -> None:
        self.reports.append(report)

    def event(self, event: Event) -> None:
        self.events.append(event)

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]


class NotedWireGuard(FakeWireGuard):
    """Writes into the diary when it is configured."""

    def __init__(self, diary: list[str]) -> None:
        super().__init__()
        self.diary = diary

    def ensure(self) -> None:
        super().ensure()
        self.diary.append("device")


@dataclass
class World:
    loop: Loop
    state: State
    inbox: Inbox
    wireguard: NotedWireGuard
    path: FakePath
    speaker: FakeSpeaker
    driver: FakeDriver
    control: FakeControl
    diary: list[str]

    def snapshot(self, *clients: Client, revision: int = 1) -> None:
        self.inbox.put(
            FrameCame(Snapshot(deployment="test", epoch="e", revision=revision, clients=clients))
        )

    def change(self, after: int, *put: Client, remove: tuple[str, ...] = ()) -> None:
        change = Change(after=after, revision=after + 1, reason="test", put=put, remove=remove)
        self.inbox.put(FrameCame(change))

    async def until(self, what: Callable[[], Any], seconds: float = 5.0) -> None:
        deadline = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < deadline, (self.state.report(), self.diary, self.control)
            await asyncio.sleep(0.01)

    async def up(self, *clients: Client) -> None:
        self.snapshot(*clients)
        await self.until(lambda: self.state.machine.state.value == "UP")


def write_settings(directory: Path, spec: NodeSpec, *peers: Peer) -> None:
    """What bootstrap leaves in /etc/anycastle."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "node.json").write_bytes(to_json(spec))
    (directory / "service.key").write_text(SERVICE_KEY.text + "\n")
    (directory / "peers.json").write_bytes(to_json(peers))


@asynccontextmanager
async def running(
    folder: Path, prepare: Callable[[World], None] = lambda _: None
) -> AsyncIterator[World]:
    """A loop that runs until the end of the block. prepare: called before it starts."""
    world = make(folder)
    prepare(world)
    task = asyncio.create_task(world.loop.run())
    try:
        yield world
        if not task.done():
            world.inbox.put(StopAsked("the end"))
            world.inbox.put(StopAsked("at once"))
        await asyncio.wait_for(task, 5)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await world.state.edges.data_path.close()


def make(folder: Path) -> World:
    """All parts, on fakes."""
    spec = msgspec.structs.replace(node_spec(), health=HEALTH)
    write_settings(folder / "etc", spec)
    (folder / "var").mkdir()
    settings = settings_files.load(folder / "etc")
    diary: list[str] = []
    inbox, metrics = Inbox(), Metrics()
    speaker, control, driver = FakeSpeaker(diary), FakeControl(), FakeDriver(diary)
    wireguard, network, path = NotedWireGuard(diary), FakeNetwork(), FakePath()
    emit = Emitter(control, metrics)
    history = folder / "run" / "health.json"
    state = State(
        directory=folder / "etc",
        settings=settings,
        cache=Cache(folder / "var" / "snapshot", spec.deployment),
        sessions=Sessions(speaker.others),
        around=Surroundings(spec, FakeNetwork(), folder / "var", time.monotonic),
        announcing=Announcing(spec.health, speaker, emit, history, time.monotonic),
        metrics=metrics,
        edges=Edges(
            data_path=DataPath(lambda: (wireguard, network), lambda _: path),
            driver=driver,
            speaker=speaker,
            control=control,
        ),
        emit=emit,
    )
    loop = Loop(state, inbox)
    return World(loop, state, inbox, wireguard, path, speaker, driver, control, diary)
