"""Puts a node together from its parts, runs it, and takes it apart in good order."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from anycastle import __version__
from anycastle.agent import http, systemd
from anycastle.agent import settings as settings_files
from anycastle.agent.announcing import Announcing
from anycastle.agent.bgp.speaker import Speaker
from anycastle.agent.cache import Cache, CacheError
from anycastle.agent.control_client import ControlClient
from anycastle.agent.datapath import DataPath
from anycastle.agent.datapath import Edges as KernelEdges
from anycastle.agent.desired import uplinks
from anycastle.agent.events import Emitter
from anycastle.agent.feed import Feed, FeedState
from anycastle.agent.health.probe import Surroundings
from anycastle.agent.http import Answers
from anycastle.agent.identity import Identity
from anycastle.agent.inbox import (
    FeedChanged,
    FrameCame,
    Inbox,
    KernelChanged,
    OthersChanged,
    ReloadAsked,
    RouteLearned,
    StopAsked,
)
from anycastle.agent.loop import Loop
from anycastle.agent.metrics import Metrics
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.netlink.watch import Watch
from anycastle.agent.routing.driver import Driver, driver_for
from anycastle.agent.sessions import Sessions
from anycastle.agent.settings import Settings
from anycastle.agent.state import Edges, State
from anycastle.agent.takeover.choose import candidates, choose
from anycastle.agent.takeover.path import PacketPath
from anycastle.agent.wireguard.choose import choose_edge
from anycastle.model.deployment import Routing
from anycastle.model.feed import Change, Snapshot

PATIENCE = 5.0
"""Seconds that the last things of a stop may take."""
LAST_WORDS = 0.2
"""Seconds for the last report and events to leave."""

log = structlog.get_logger()


def open_kernel(settings: Settings) -> KernelEdges:
    """The kernel's edges of a real node. Blocks; raises WireGuardError, NetworkError."""
    return choose_edge(settings.spec.wireguard.device), KernelNetwork()


def open_path(settings: Settings, patient: bool) -> PacketPath:
    """The packet path of a real node, set up. Blocks; raises PathError."""
    spec = settings.spec
    return choose(uplinks(spec), spec.fabric.device, candidates(spec), patient=patient)


@dataclass(frozen=True)
class Host:
    """What differs between a real node and a test's: directories, daemons, devices."""

    settings: Path = settings_files.DIRECTORY
    state: Path = settings_files.STATE_DIRECTORY
    run: Path = settings_files.RUN_DIRECTORY
    driver: Callable[[Routing], Driver] = field(default=driver_for)
    kernel: Callable[[Settings], KernelEdges] = field(default=open_kernel)
    path: Callable[[Settings, bool], PacketPath] = field(default=open_path)


async def run(host: Host) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError before anything was touched."""
    settings = settings_files.load(host.settings)
    spec = settings.spec
    log.info("starting", node=spec.name, deployment=spec.deployment, version=__version__)
    host.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    inbox = Inbox()
    identity = Identity(spec, host.state, host.settings / "join.token")
    control = ControlClient(spec.control, identity)
    state = build(host, settings, inbox, control)
    load_cache(state)
    feed = Feed(spec.control, identity, state.cache.position)
    state.heard_at = lambda: feed.heard_at
    loop = Loop(state, inbox)
    listen_to_signals(inbox)
    server = await http.serve(
        Answers(loop.stuck, state.report, state.metrics_text), spec.listen_port
    )
    beside = [identity.run(), control.run(), state.cache.run(), follow(feed, inbox)]
    with watching(inbox):
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in beside]
            systemd.notify("READY=1", "STATUS=DOWN")
            await loop.run()
            systemd.notify("STOPPING=1")
            await end(state)
            for task in tasks:
                task.cancel()
    await server.cleanup()


async def end(state: State) -> None:
    """The last things of a stop; the node is out of service already."""
    state.edges.control.report(state.report())
    state.announcing.end()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            left = state.sessions.leave(state.sessions.leaving)
            state.edges.speaker.withdraw_clients(left.withdraw)
            await state.edges.speaker.stop()
            # The control plane may be away; what it is not told now it sees for itself.
            await asyncio.sleep(LAST_WORDS)
            await flush(state)
            await state.edges.data_path.close()
    log.info("stopped")


async def flush(state: State) -> None:
    try:
        await state.cache.flush()
    except OSError as error:
        log.warning("state not written", error=str(error))


def build(host: Host, settings: Settings, inbox: Inbox, control: ControlClient) -> State:
    """All parts, wired to each other and to the inbox; nothing runs yet."""
    spec = settings.spec
    metrics = Metrics()
    emit = Emitter(control, metrics)
    speaker = Speaker(
        spec,
        on_client_route=lambda prefix: inbox.put(RouteLearned(prefix)),
        on_announcers=lambda: inbox.put(OthersChanged()),
    )
    history = host.run / "health.json"
    announcing = Announcing(spec.health, speaker, emit, history, time.monotonic)
    announcing.rank = settings.rank
    sessions = Sessions(speaker.others)
    around = Surroundings(spec, KernelNetwork(), host.state, time.monotonic)
    around.owned = sessions.owned_keys
    state = State(
        directory=host.settings,
        settings=settings,
        cache=Cache(host.state / "snapshot", spec.deployment),
        sessions=sessions,
        around=around,
        announcing=announcing,
        metrics=metrics,
        edges=Edges(
            # A reload may have changed what the packet path is to be.
            data_path=DataPath(
                lambda: host.kernel(settings),
                lambda patient: host.path(state.settings, patient),
            ),
            driver=host.driver(spec.routing),
            speaker=speaker,
            control=control,
        ),
        emit=emit,
    )
    return state


def load_cache(state: State) -> None:
    """Start from the last good state. A damaged one is told of, and the feed replaces it."""
    try:
        snapshot = state.cache.load()
    except CacheError as error:
        state.emit("cache.refused", str(error))
        state.metrics.errors.labels("cache").inc()
        return
    if snapshot is not None:
        state.sessions.replace_all(snapshot.clients, time.time())
        load_order(state)
        log.info("state loaded", revision=snapshot.revision, clients=len(snapshot.clients))


def load_order(state: State) -> None:
    """A drain goes on where the last process left it."""
    order = state.cache.orders.get(state.spec.name)
    state.draining.order(order, time.monotonic(), time.time())


async def follow(feed: Feed, inbox: Inbox) -> None:
    """The feed for life, as notices."""

    def frame(frame: Snapshot | Change) -> None:
        inbox.put(FrameCame(frame))

    def changed(news: FeedState) -> None:
        inbox.put(FeedChanged(news))

    await feed.run(frame, frame, changed)


@contextlib.contextmanager
def watching(inbox: Inbox) -> Iterator[None]:
    """Changes of links, addresses and rules, as notices."""
    watch, loop = Watch(), asyncio.get_running_loop()

    def readable() -> None:
        if watch.drain():
            inbox.put(KernelChanged())

    loop.add_reader(watch, readable)
    try:
        yield
    finally:
        loop.remove_reader(watch)
        watch.close()


def listen_to_signals(inbox: Inbox) -> None:
    """SIGTERM and SIGINT stop the node, SIGHUP makes it read its files again."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, inbox.put, StopAsked(number.name))
    loop.add_signal_handler(signal.SIGHUP, inbox.put, ReloadAsked())
