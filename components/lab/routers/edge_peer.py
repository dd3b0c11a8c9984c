"""One node's sessions on its edge router: the text, and the script that takes it up."""

from __future__ import annotations

from importlib import resources

from anycastle.model.deployment import Routing
from components.lab.routers import bird, frr
from components.lab.routers.model import Neighbour

SCRIPT_FILE = "/usr/local/sbin/edge-peer"


def block(routing: Routing, router_asn: int, neighbour: Neighbour) -> str:
    """What goes into the edge's nodes.d/ for this node, in the edge's daemon's language."""
    if routing is Routing.FRR:
        return frr.node(router_asn, neighbour)
    return bird.node(neighbour)


def set_command(node: str) -> list[str]:
    """Command on the edge router; the block is its standard input."""
    return [SCRIPT_FILE, "set", node]


def remove_command(node: str) -> list[str]:
    return [SCRIPT_FILE, "remove", node]


def script() -> str:
    """The text of SCRIPT_FILE, which every edge router of a lab carries."""
    return resources.files(__package__).joinpath("edge-peer.sh").read_text()
