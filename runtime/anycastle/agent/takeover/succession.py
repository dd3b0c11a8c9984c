"""Whose clients can only come here now? The exception to "never without a packet". Pure.

A node that initiates but does not get the client's packets delays the client's own
recovery, so a takeover waits for a packet. A client that is silent and only listens
would never send one. Where it is *known* to which node its packets go, nothing has to be
waited for: when a node stops announcing, and exactly one node is left in its datacentre
that announces and is not demoted, then that node is the successor of all its clients. It
acts a second later, when the edge routers have followed (`takeover.ADOPT_AFTER`).

With two or more left the edge routers spread the clients over them, and who gets which
is their business; with none left another datacentre gets them, and with a partition
between datacentres every node would believe itself the last. In these cases nobody acts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from anycastle.model.node import Peer


def heir_of(
    announcers: Mapping[IPv4Address, bool],
    *,
    own: bool,
    peers: Iterable[Peer],
    datacentre: str,
) -> frozenset[IPv4Address]:
    """Nodes that do not announce and whose one known successor is this node, by loopback.

    announcers: other nodes that announce -> demoted? own: this one does, and is not
    demoted. datacentre: its own.
    """
    here = frozenset(peer.loopbacks.v4 for peer in peers if peer.datacentre == datacentre)
    rivals = [loopback for loopback, demoted in announcers.items() if not demoted]
    return here - announcers.keys() if own and here.isdisjoint(rivals) else frozenset()
