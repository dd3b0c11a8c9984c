"""How a node is connected where it stands: what does not follow from its id alone."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address

from anycastle.model.deployment import Anycast, Datacentre, Deployment, Node
from anycastle.model.node import AwsSecrets, EdgePeer, Gateway
from components.network import edge_peers


@dataclass(frozen=True, kw_only=True)
class Attachment:
    """Fields of the node spec of the same names (`model.node.NodeSpec`)."""

    edges: tuple[EdgePeer, ...]
    anycast: Anycast
    hold_anycast: bool = True
    gateways: tuple[Gateway, ...] = ()
    underlay: IPv4Address | None = None
    secrets: AwsSecrets | None = None


def to_edges(deployment: Deployment, datacentre: Datacentre, node: Node) -> Attachment:
    """A node with a link to each edge router, to which it announces the anycast prefixes."""
    return Attachment(edges=edge_peers(datacentre, node), anycast=deployment.anycast)
