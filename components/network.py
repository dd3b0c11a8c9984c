"""The address plan: which addresses a node has, and whom it speaks BGP with.

Everything comes from the node's id, so a node keeps its addresses when others come
and go. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

from anycastle.model.addresses import link_ends, nth
from anycastle.model.deployment import Datacentre, Deployment, Edge, Node
from anycastle.model.node import EdgePeer, Loopbacks, Peer
from components.aws import plan


def loopbacks(deployment: Deployment, node: Node) -> Loopbacks:
    """The node's own addresses: number `id` of each loopback network."""
    v4 = nth(deployment.loopbacks.v4, node.id)
    v6 = nth(deployment.loopbacks.v6, node.id)
    assert v4.version == 4
    assert v6.version == 6
    return Loopbacks(v4, v6)


def uplink_device(index: int) -> str:
    """Name of a node's device towards its datacentre's edge router number `index`."""
    return f"up{index}"


def edge_peers(datacentre: Datacentre, node: Node) -> tuple[EdgePeer, ...]:
    """The node's eBGP neighbours, one per edge router of its datacentre."""
    return tuple(
        _edge_peer(edge, node, _device(datacentre, node, index))
        for index, edge in enumerate(datacentre.edges)
    )


def _device(datacentre: Datacentre, node: Node, index: int) -> str:
    """Hosts that exist have devices with names of their own."""
    if datacentre.metal is not None:
        return datacentre.metal.hosts[node.name].nics[index]
    return uplink_device(index)


def _edge_peer(edge: Edge, node: Node, device: str) -> EdgePeer:
    remote4, local4 = link_ends(edge.links.v4, node.id)
    remote6, local6 = link_ends(edge.links.v6, node.id)
    assert remote4.version == local4.version == 4
    assert remote6.version == local6.version == 6
    return EdgePeer(
        name=edge.name,
        asn=edge.asn,
        device=device,
        local4=local4,
        local6=local6,
        remote4=remote4.ip,
        remote6=remote6.ip,
        bfd=edge.bfd,
    )


def peer(deployment: Deployment, datacentre: Datacentre, node: Node) -> Peer:
    """The node as the others see it."""
    return Peer(
        name=node.name,
        datacentre=datacentre.name,
        loopbacks=loopbacks(deployment, node),
        underlay=plan.underlay(datacentre, node),
    )


def peers(deployment: Deployment) -> Iterator[Peer]:
    """The iBGP full mesh: every node of the deployment."""
    for datacentre in deployment.datacentres:
        for node in datacentre.nodes:
            yield peer(deployment, datacentre, node)
