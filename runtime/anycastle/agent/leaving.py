"""Other nodes that left the list of peers, and are kept while they still speak.

`pulumi up` first tells the others of a change, and takes a node away at the end: it drains,
its sessions move, its agent stops. Until then packets for its clients are carried to it, and
it hears by BGP who took a client over. So a peering outlives its line in peers.json until the
session ends, at the latest LIMIT seconds later. An agent that starts begins with the list.
"""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

from anycastle.agent.routing.driver import RoutingState
from anycastle.agent.settings import Settings
from anycastle.model.node import Peer

LIMIT = 600.0
"""Seconds: several drains, one after another, and hosts that are deleted after them."""


class Leaving:
    """Peers that left, and when each is given up. now: monotonic seconds."""

    def __init__(self) -> None:
        self._until: dict[Peer, float] = {}

    def reloaded(
        self, old: Settings, new: Settings, routing: RoutingState | None, now: float
    ) -> Settings:
        """The new settings, and beside their peers those of the old that still speak."""
        self._until = {
            peer: self._until.get(peer, now + LIMIT)
            for peer in old.peers
            if _speaks(peer, routing) and not any(_replaces(one, peer) for one in new.peers)
        }
        peers = sorted((*new.peers, *self._until), key=attrgetter("name"))
        return replace(new, peers=tuple(peers))

    def ended(
        self, settings: Settings, routing: RoutingState | None, now: float
    ) -> Settings | None:
        """The settings without the peers that fell silent or are overdue; None: there is none."""
        over = {
            peer
            for peer, until in self._until.items()
            if now >= until or not _speaks(peer, routing)
        }
        if not over:
            return None
        for peer in over:
            del self._until[peer]
        return replace(settings, peers=tuple(peer for peer in settings.peers if peer not in over))


def _speaks(peer: Peer, routing: RoutingState | None) -> bool:
    known = routing.peerings if routing else ()
    return any(one.kind == "peer" and one.name == f"peer-{peer.name}" and one.up for one in known)


def _replaces(new: Peer, old: Peer) -> bool:
    """Is it the same node, or another with one of its addresses?"""
    return new.name == old.name or bool(_addresses(new) & _addresses(old))


def _addresses(peer: Peer) -> set[object]:
    return {peer.loopbacks.v4, peer.loopbacks.v6, peer.tunnel_end}
