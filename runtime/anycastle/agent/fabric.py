"""The inter-node path on one node: what it should be, and how to get there. Pure.

One VXLAN device (RFC 7348) between loopbacks (or, where loopbacks can't be routed, the
hosts' own addresses: `underlay`) carries packets for clients of other
nodes, past edge routers that know the pools only. Nothing on it is learned: each
peer's hardware address is made from its loopback, so a node that knows its peers
knows every neighbour (no ARP, no neighbour discovery, no flooding), and a packet
from a tunnel end that is no peer's finds no way back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from anycastle.agent.netlink.edge import (
    DeviceAddress,
    MakeTunnel,
    Neighbour,
    NetworkOperation,
    NetworkState,
    PutNeighbour,
    PutTunnelPeer,
    RemoveNeighbour,
    RemoveTunnel,
    RemoveTunnelPeer,
    SetLink,
    Tunnel,
    TunnelPeer,
)
from anycastle.model.addresses import Interface, fabric_interface, fabric_mac
from anycastle.model.node import Loopbacks, NodeSpec, Peer


class Fabric(msgspec.Struct, frozen=True):
    """mtu: of the device. peers: tunnel ends by hardware address. neighbours: by address."""

    tunnel: Tunnel
    mtu: int
    peers: frozenset[TunnelPeer]
    neighbours: frozenset[Neighbour]


def fabric_of(spec: NodeSpec, peers: Iterable[Peer]) -> Fabric:
    """The inter-node path of a node with these peers."""
    device, own = spec.fabric.device, spec.loopbacks.v4
    known = list(peers)
    return Fabric(
        tunnel=Tunnel(device, fabric_mac(own), spec.fabric.vni, spec.tunnel_end, spec.fabric.port),
        mtu=spec.fabric.mtu,
        peers=frozenset(
            TunnelPeer(device, fabric_mac(one.loopbacks.v4), one.tunnel_end) for one in known
        ),
        neighbours=frozenset(
            Neighbour(device, interface.ip, fabric_mac(one.loopbacks.v4))
            for one in known
            for interface in _interfaces(spec, one.loopbacks)
        ),
    )


def fabric_addresses(spec: NodeSpec) -> Iterator[DeviceAddress]:
    """The node's own addresses on the device."""
    for interface in _interfaces(spec, spec.loopbacks):
        yield DeviceAddress(spec.fabric.device, interface)


def tunnel_operations(fabric: Fabric, present: NetworkState) -> Iterator[NetworkOperation]:
    """Make the device what it should be. Its parameters can't be changed, so a wrong one goes."""
    tunnel = present.tunnels.get(fabric.tunnel.device)
    link = present.links.get(fabric.tunnel.device)
    if tunnel != fabric.tunnel:
        if link is not None:
            yield RemoveTunnel(fabric.tunnel.device)
        yield MakeTunnel(fabric.tunnel)
        link = None
    if link is None or link.mtu != fabric.mtu:
        yield SetLink(fabric.tunnel.device, mtu=fabric.mtu)
    if link is None or not link.up:
        yield SetLink(fabric.tunnel.device, up=True)


def peer_adds(fabric: Fabric, present: NetworkState) -> Iterator[NetworkOperation]:
    """The tunnel end first: a neighbour is of no use without."""
    anew = is_anew(fabric, present)
    for peer in sorted(fabric.peers - (frozenset() if anew else present.tunnel_peers), key=str):
        yield PutTunnelPeer(peer)
    held = frozenset() if anew else present.neighbours
    for neighbour in sorted(fabric.neighbours - held, key=str):
        yield PutNeighbour(neighbour)


def peer_removals(fabric: Fabric, present: NetworkState) -> Iterator[NetworkOperation]:
    """Those of nodes that left. A device that is made anew has none."""
    if is_anew(fabric, present):
        return
    addresses = {neighbour.address for neighbour in fabric.neighbours}
    for neighbour in sorted(present.neighbours, key=str):
        if neighbour.address not in addresses:
            yield RemoveNeighbour(neighbour)
    macs = {peer.mac for peer in fabric.peers}
    for peer in sorted(present.tunnel_peers, key=str):
        if peer.mac not in macs:
            yield RemoveTunnelPeer(peer)


def is_anew(fabric: Fabric, present: NetworkState) -> bool:
    """Will the device be made, and start with nothing on it?"""
    return present.tunnels.get(fabric.tunnel.device) != fabric.tunnel


def _interfaces(spec: NodeSpec, loopbacks: Loopbacks) -> Iterator[Interface]:
    for network in spec.fabric.networks:
        yield fabric_interface(network, loopbacks.v4)
