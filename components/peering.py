"""iBGP between nodes: a full mesh, one resource per node.

A node's peers are one file on it, with a line for each. A node that comes or goes is
therefore one line in one resource of each other node, and nothing else of theirs differs.
"""

from __future__ import annotations

import json

import pulumi
from pulumi_command import remote

from anycastle.model.codec import to_plain
from anycastle.model.deployment import Deployment
from anycastle.model.node import Peer
from components import commands
from components.host import Host
from components.network import peers

REMOVAL = "rm -f /etc/anycastle/peers.json"
"""What a host forgets its peers by; its agent was stopped before."""


class Mesh:
    """The nodes of a deployment as each other's peers; made once for all of them."""

    def __init__(self, deployment: Deployment) -> None:
        self._lines = sorted((peer.name, _line(peer)) for peer in peers(deployment))

    def around(self, node: str) -> str:
        """The peers of a node: a JSON array, by name, with a peer a line."""
        lines = [line for name, line in self._lines if name != node]
        return "[\n" + ",\n".join(lines) + "\n]" if lines else "[]"


def _line(peer: Peer) -> str:
    return json.dumps(to_plain(peer))


def peering(host: Host, mesh: Mesh, parent: pulumi.Resource) -> remote.Command:
    """The resource `HOST/peers`."""
    return commands.run(
        host,
        "peers",
        "peers",
        {"PEERS": mesh.around(host.name)},
        parent=parent,
        delete=REMOVAL,
    )
