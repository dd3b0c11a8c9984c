"""iBGP between nodes: a full mesh, one resource per node and peer.

A node's peer is a file on that node. A node that comes or goes therefore adds or
removes one file on each of the others, and nothing else of theirs differs.
"""

from __future__ import annotations

from collections.abc import Iterable

import pulumi
from pulumi_command import remote

from anycastle.model.node import Peer
from components import commands
from components.host import Host
from components.specs import document


def peerings(host: Host, peers: Iterable[Peer], parent: pulumi.Resource) -> list[pulumi.Resource]:
    """The resources `HOST/peers/PEER`."""
    return [_peering(host, peer, parent) for peer in peers]


def _peering(host: Host, peer: Peer, parent: pulumi.Resource) -> remote.Command:
    return commands.run(
        host,
        f"peers/{peer.name}",
        "peer",
        {"NAME": peer.name, "PEER": document(peer)},
        parent=parent,
        delete=removal(peer.name),
    )


def removal(peer: str) -> str:
    """A command that makes a node forget a peer; an agent that does not run is not started."""
    return (
        f"rm -f /etc/anycastle/peers.d/{peer}.json; "
        "! systemctl -q is-active anycastle-agent || systemctl reload anycastle-agent"
    )
