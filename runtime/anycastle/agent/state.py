"""What the loop owns, and the edges that it acts through."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Protocol

from anycastle.agent.announcing import Announcing
from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.cache import Cache
from anycastle.agent.datapath import DataPath
from anycastle.agent.draining import Draining
from anycastle.agent.events import Emitter
from anycastle.agent.feed import FeedState
from anycastle.agent.health.machine import Machine
from anycastle.agent.health.probe import Surroundings
from anycastle.agent.metrics import Metrics
from anycastle.agent.report import node_report
from anycastle.agent.routing.driver import Driver
from anycastle.agent.sessions import Sessions
from anycastle.agent.settings import Settings
from anycastle.agent.takeover_facts import TakeoverFacts
from anycastle.model.addresses import Network
from anycastle.model.node import NodeSpec
from anycastle.model.status import DrainStatus, Event, NodeReport

NOT_CONNECTED = FeedState(connected=False, url="", revision=0, detail="not connected yet")


class Speaker(Protocol):
    """The BGP speaker as the loop needs it (`bgp.speaker.Speaker`)."""

    @property
    def established(self) -> Mapping[str, bool]: ...

    async def run(self) -> None: ...

    async def stop(self) -> None: ...

    def announce_clients(self, routes: Sequence[ClientRoute]) -> None: ...

    def withdraw_clients(self, prefixes: Sequence[Network]) -> None: ...

    def clients_complete(self) -> None: ...

    def announce_anycast(self, *, demoted: bool) -> None: ...

    def withdraw_anycast(self) -> None: ...

    def announcers(self) -> Mapping[IPv4Address, bool]: ...

    def others(self, prefix: Network) -> Sequence[ClientRoute]: ...


class Control(Protocol):
    """The control plane's ear (`control_client.ControlClient`)."""

    def report(self, report: NodeReport) -> None: ...

    def event(self, event: Event) -> None: ...


@dataclass(frozen=True)
class Edges:
    """What the loop acts through. driver: of the daemon that the node spec names."""

    data_path: DataPath
    driver: Driver
    speaker: Speaker
    control: Control


@dataclass
class State:
    """directory: of the settings' files. configured: the data path worked once,
    with the clients of a snapshot.

    revision: of the feed that the kernel holds. problems: what the last apply could not
    do. routing_problem: why the daemon does not run with our configuration.
    heard_at: monotonic time of the feed's last frame, 0.0 before the first.
    """

    directory: Path
    settings: Settings
    cache: Cache
    sessions: Sessions
    around: Surroundings
    announcing: Announcing
    metrics: Metrics
    edges: Edges
    emit: Emitter
    draining: Draining = field(default_factory=Draining)
    configured: bool = False
    revision: int = 0
    routing_problem: str = ""
    feed: FeedState = NOT_CONNECTED
    heard_at: Callable[[], float] = lambda: 0.0
    handled_at: float = field(default_factory=time.monotonic)

    @property
    def takeover(self) -> TakeoverFacts:
        return self.metrics.takeover.facts

    @property
    def spec(self) -> NodeSpec:
        return self.settings.spec

    @property
    def machine(self) -> Machine:
        return self.announcing.machine

    @property
    def has_snapshot(self) -> bool:
        """A node that never saw one would black-hole clients: it must not announce."""
        return self.cache.position is not None

    def unable(self) -> str:
        """Why the node cannot announce, whatever its probes say; "" when it can."""
        if not self.has_snapshot:
            return f"no snapshot of the clients yet: {self.feed.detail}"
        if not self.configured:
            errors = self.around.apply_errors
            return "the data path is not configured yet" + (f": {errors[0]}" if errors else "")
        if not self.edges.speaker.established.get("anycast", False):
            return self.routing_problem or f"no BGP session with {self.spec.routing.value}"
        return ""

    def drain_status(self) -> DrainStatus | None:
        """How far an operator's order to drain is; None without one."""
        if not self.draining.ordered:
            return None
        machine = self.machine
        return self.draining.status(
            time.monotonic(),
            announcing=machine.announcing,
            sessions=None if self.around.sampled_at is None else len(self.sessions.owned),
            ready=not self.unable() and machine.good >= machine.health.rise,
        )

    def report(self) -> NodeReport:
        return node_report(
            self.spec,
            self.machine,
            self.announcing.results,
            self.sessions.owned.values(),
            revision=self.revision,
            wireguard=self.edges.data_path.kind,
            at=time.time(),
            drain=self.drain_status(),
            takeover=self.takeover,
        )

    def metrics_text(self) -> bytes:
        for session, up in self.edges.speaker.established.items():
            self.metrics.bgp.labels(session).set(up)
        others = list(self.edges.speaker.announcers().values())
        self.metrics.announcers.labels("yes").set(sum(others))
        self.metrics.announcers.labels("no").set(len(others) - sum(others))
        return self.metrics.render(
            self.report(),
            self.machine,
            self.announcing.results,
            clients=len(self.cache.clients),
            feed_connected=self.feed.connected,
            feed_age=time.monotonic() - heard_at if (heard_at := self.heard_at()) else -1.0,
        )
