"""The kernel's side of the node, as the loop uses it: one worker thread, one call at a time.

Calls are carried out in the order in which they were made: a reconcile computed from the
clients of now never undoes a change that came after it.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import TypeVar

import msgspec

from anycastle.agent import apply as applying
from anycastle.agent.apply import ApplyResult
from anycastle.agent.desired import Desired
from anycastle.agent.netlink.edge import NetworkEdge
from anycastle.agent.takeover.path import PacketPath, PathCounters, PathError
from anycastle.agent.wireguard.edge import (
    DeviceOperation,
    Initiate,
    PeerConfig,
    PeerSample,
    WireGuardEdge,
    WireGuardError,
)
from anycastle.model.addresses import Endpoint
from anycastle.model.codec import Key

T = TypeVar("T")

Edges = tuple[WireGuardEdge, NetworkEdge]
Relays = Mapping[Endpoint, IPv4Address | None]
OpenPath = Callable[[bool], PacketPath]
"""Chooses a packet path and sets it up. Its argument: may what the kernel holds be kept and
tried again, instead of being given up (`takeover.choose`)?"""
PATIENT = 6
"""Times in a row that the packet path may fail to open before what the kernel holds of it is
given up."""


@dataclass(frozen=True)
class Steps:
    """One plan of the takeover, ready to be carried out in the order of the fields.

    trust: may the packet path relay from now on? None: as before.
    """

    forget: Collection[Endpoint] = ()
    reset: Sequence[PeerConfig] = ()
    initiate: Sequence[Initiate] = ()
    remove_relays: Collection[Endpoint] = ()
    put_relays: Relays = field(default_factory=dict)
    trust: bool | None = None

    @property
    def restarted(self) -> list[Key]:
        """Peers that know nothing of what was before."""
        anew = [one.peer.public_key for one in self.initiate if one.anew]
        return [*(peer.public_key for peer in self.reset), *anew]


@dataclass(frozen=True)
class PathNews:
    """path: open. opened: it was chosen just now. attached: something of it had to be made
    anew."""

    path: PacketPath
    opened: bool
    attached: bool
    counters: PathCounters


class DataPath:
    """Blocking edges made usable from asyncio. open_edges and open_path run in the worker,
    which keeps trying at each call until they succeed. Calls raise what the edges raise."""

    def __init__(self, open_edges: Callable[[], Edges], open_path: OpenPath) -> None:
        self._open_edges = open_edges
        self._open_path = open_path
        self._failures = 0
        self._opened = False
        self._path: PacketPath | None = None
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

    async def take_over(self, steps: Sequence[Steps]) -> list[str]:
        """Carry out as much as can be; what could not, in words."""
        return await self._call(self._take_over, steps)

    async def attend_path(self, uplinks: Sequence[str], fabric: str) -> PathNews:
        """Open the packet path, and attach it where it is missing. Raises PathError."""
        return await self._in_turn(self._attend_path, uplinks, fabric)

    async def let_go_of_path(self) -> None:
        """Close the packet path; what it holds stays, and the next `attend_path` opens one."""
        await self._in_turn(self._close_path)

    async def relays(self) -> Relays:
        """What the packet path holds. Raises PathError."""
        return await self._in_turn(lambda: self._path.relays() if self._path else {})

    async def remove_path(self) -> None:
        """Detach the packet path, an earlier agent's too, and let go of it. Raises PathError."""
        await self._in_turn(self._remove_path)

    async def close(self) -> None:
        """Close the edges and the packet path; what they configured stays."""
        await self._in_turn(self._close_path)
        if self._edges is not None:
            await self._call(_close)
        self._worker.shutdown(wait=False)

    async def _call(self, work: Callable[..., T], *arguments: object) -> T:
        return await self._in_turn(self._in_worker, work, *arguments)

    async def _in_turn(self, work: Callable[..., T], *arguments: object) -> T:
        run = functools.partial(work, *arguments)
        return await asyncio.get_running_loop().run_in_executor(self._worker, run)

    def _in_worker(self, work: Callable[..., T], *arguments: object) -> T:
        if self._edges is None:
            self._edges = self._open_edges()
        return work(self._edges, *arguments)

    # The packet path needs no WireGuard, and WireGuard no packet path.

    def _take_over(self, edges: Edges, steps: Sequence[Steps]) -> list[str]:
        return [error for each in steps for error in _steps(edges[0], self._path, each)]

    def _attend_path(self, uplinks: Sequence[str], fabric: str) -> PathNews:
        if self._path is None:
            self._failures += 1
            self._path = self._open_path(self._failures <= PATIENT)
            self._failures, self._opened = 0, True
        attached = self._path.ensure(uplinks, fabric)
        news = PathNews(self._path, self._opened, attached, self._path.counters())
        self._opened = False
        return news

    def _remove_path(self) -> None:
        path, self._path = self._path or self._open_path(False), None
        try:
            path.remove()
        finally:
            path.close()

    def _close_path(self) -> None:
        if self._path is not None:
            path, self._path = self._path, None
            path.close()


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


def _steps(wireguard: WireGuardEdge, path: PacketPath | None, steps: Steps) -> list[str]:
    """A packet path that fails must not keep clients from being taken over."""
    errors: list[str] = []

    def attempt(work: Callable[[], object]) -> None:
        try:
            work()
        except (PathError, WireGuardError) as error:
            errors.append(str(error))

    if path is not None and steps.forget:
        attempt(lambda: path.forget(steps.forget))
    for peer in steps.reset:
        attempt(lambda peer=peer: wireguard.reset_peer(peer))  # type: ignore[misc]
    if steps.initiate:
        attempt(lambda: wireguard.set(steps.initiate))
    if path is not None and steps.remove_relays:
        attempt(lambda: path.remove_relays(steps.remove_relays))
    if path is not None and steps.put_relays:
        attempt(lambda: path.put_relays(steps.put_relays))
    if path is not None and steps.trust is not None:
        attempt(lambda: path.trust(bool(steps.trust)))
    return errors
