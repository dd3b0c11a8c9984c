"""The kernel's side of the node, as the loop uses it: one worker thread, one call at a time.

Calls are carried out in the order in which they were made: a reconcile computed from the
clients of now never undoes a change that came after it.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from anycastle.agent import apply as applying
from anycastle.agent.apply import ApplyResult
from anycastle.agent.desired import Desired
from anycastle.agent.netlink.edge import NetworkEdge
from anycastle.agent.wireguard.edge import (
    DeviceOperation,
    PeerConfig,
    PeerSample,
    WireGuardEdge,
)

T = TypeVar("T")

Edges = tuple[WireGuardEdge, NetworkEdge]


class DataPath:
    """Blocking edges made usable from asyncio. open_edges runs in the worker, which keeps
    trying at each call until it succeeds. Calls raise what the edges raise."""

    def __init__(self, open_edges: Callable[[], Edges]) -> None:
        self._open_edges = open_edges
        self._edges: Edges | None = None
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="data-path")

    @property
    def kind(self) -> str:
        """`kernel` or `userspace`; "unknown" before the first call has succeeded."""
        return self._edges[0].kind if self._edges else "unknown"

    async def reconcile(self, want: Callable[[], Desired], *, keep_peers: bool) -> ApplyResult:
        """Make the kernel hold what `want` returns; with many clients that takes a while,
        so it is asked in the worker. keep_peers: leave the peers as they are found."""
        return await self._call(_reconcile, want, keep_peers)

    async def change(self, operations: Sequence[DeviceOperation]) -> ApplyResult:
        """Carry out a change of some peers."""
        return await self._call(_change, operations)

    async def sample(self) -> tuple[list[PeerSample], float]:
        """Activity of every peer, and the seconds that looking took."""
        return await self._call(_sample)

    async def reset(self, peers: Sequence[PeerConfig]) -> None:
        """Make WireGuard forget these peers' keys, timers and endpoints."""
        await self._call(_reset, peers)

    async def close(self) -> None:
        """Close the edges; what they configured stays."""
        if self._edges is not None:
            await self._call(_close)
        self._worker.shutdown(wait=False)

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        run = functools.partial(self._in_worker, work, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._worker, run)

    def _in_worker(self, work: Callable[..., T], *arguments: object) -> T:
        if self._edges is None:
            self._edges = self._open_edges()
        return work(self._edges, *arguments)


def _reconcile(edges: Edges, want: Callable[[], Desired], keep_peers: bool) -> ApplyResult:
    wireguard, network = edges
    desired = want()
    if keep_peers:
        device = wireguard.read()
        desired = msgspec.structs.replace(desired, peers=device.peers if device else {})
    return applying.reconcile(desired, wireguard, network)


def _change(edges: Edges, operations: Sequence[DeviceOperation]) -> ApplyResult:
    return applying.apply(operations, *edges)


def _sample(edges: Edges) -> tuple[list[PeerSample], float]:
    started = time.monotonic()
    return edges[0].sample(), time.monotonic() - started


def _reset(edges: Edges, peers: Sequence[PeerConfig]) -> None:
    for peer in peers:
        edges[0].reset_peer(peer)


def _close(edges: Edges) -> None:
    for edge in edges:
        edge.close()
