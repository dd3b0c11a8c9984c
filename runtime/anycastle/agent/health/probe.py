"""What a probe is, and what it may look at."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Awaitable, Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from anycastle.agent.netlink.edge import NetworkEdge
from anycastle.agent.routing.driver import RoutingState
from anycastle.agent.wireguard.edge import PeerSample
from anycastle.model.codec import Key
from anycastle.model.node import NodeSpec


class Severity(enum.Enum):
    """What a failing probe means for the announcement (see `machine`)."""

    FATAL = "fatal"
    """There is no path: withdraw at once when somebody else announces."""
    HARD = "hard"
    """Packets are lost: demote, and withdraw a moment later."""
    SOFT = "soft"
    """Packets may suffer: demote, and withdraw when it lasts."""
    NOTE = "note"
    """Worth knowing; the node stays in service."""


@dataclass(frozen=True)
class Probe:
    """One check. check: resolves to what is wrong, "" when nothing is; an exception is a
    failure too. period: seconds for which a good result stands (0: check each round)."""

    name: str
    severity: Severity
    check: Callable[[], Awaitable[str]]
    period: float = 0.0


@dataclass
class Surroundings:
    """What probes may look at. The loop keeps the facts in it up to date.

    network: for the probes alone (the data path has its own). state_directory: where
    the agent keeps its last good state. sampled_at: monotonic time of the last sample of
    WireGuard; samples: that sample. owned: peers whose newest session is here. routing: what the daemon last said, at routing_at.
    sessions: the speaker's sessions, by name. apply_errors: what the last reconcile
    could not do. now: the monotonic clock.
    """

    spec: NodeSpec
    network: NetworkEdge
    state_directory: Path
    now: Callable[[], float]
    sampled_at: float | None = None
    samples: list[PeerSample] = field(default_factory=list)
    owned: Callable[[], Collection[Key]] = frozenset
    routing: RoutingState | None = None
    routing_at: float = 0.0
    sessions: Mapping[str, bool] = field(default_factory=dict)
    apply_errors: tuple[str, ...] = ()
    threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(thread_name_prefix="probe")
    )

    def blocking(self, check: Callable[[], str]) -> Callable[[], Awaitable[str]]:
        """Run a check that may block in a thread, where it can hang and harm nobody."""

        async def run() -> str:
            return await asyncio.get_running_loop().run_in_executor(self.threads, check)

        return run


def immediate(check: Callable[[], str]) -> Callable[[], Awaitable[str]]:
    """A check that looks at memory, or asks the kernel what it answers at once."""

    async def run() -> str:
        return check()

    return run
