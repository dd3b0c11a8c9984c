"""Who speaks BGP with whom in the lab: routers and their neighbours, from the settings; pure."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, ip_network

from anycastle.model.addresses import Dual, Network
from anycastle.model.deployment import Datacentre, Deployment, Edge, Node
from components.lab.routers.model import Neighbour, Prefixes, Role, Router
from components.lab.settings import Core, LabSettings
from components.lab.world import device_towards


def core_router(deployment: Deployment, lab: LabSettings, core: Core) -> Router:
    """A core: it announces the networks of sites and control plane that hang on it."""
    stubs = [(f"{site.name}-nat", site.core, site.wan) for site in lab.sites]
    stubs.append((lab.control.name, lab.control.core, lab.control.network))
    neighbours = tuple(_core_neighbours(deployment, lab, core))
    return Router(
        name=core.name,
        asn=core.asn,
        router_id=neighbours[0].local4,
        prefixes=prefixes(deployment),
        neighbours=neighbours,
        connected=tuple(
            (device_towards(host), network)
            for host, where, networks in stubs
            if where == core.name
            for network in networks
        ),
    )


def edge_router(
    deployment: Deployment, lab: LabSettings, datacentre: Datacentre, edge: Edge
) -> Router:
    """An edge router without its nodes, whose sessions come and go by themselves."""
    loopbacks: list[tuple[str, Network]] = [("lo", _network(a)) for a in edge.loopbacks]
    services: list[tuple[str, Network]] = []
    if datacentre.edges[0] == edge:
        device = device_towards(f"{datacentre.name}-svc")
        services = [(device, network) for network in datacentre.services]
    return Router(
        name=edge.name,
        asn=edge.asn,
        router_id=_router_id(edge),
        prefixes=prefixes(deployment),
        neighbours=tuple(_edge_neighbours(deployment, lab, edge)),
        aggregates=tuple(edge.links),
        connected=(*loopbacks, *services),
        node_asn=deployment.asn,
        node_bfd=edge.bfd,
    )


def node_neighbour(deployment: Deployment, edge: Edge, node: Node) -> Neighbour:
    """A node as its edge router sees it."""
    ends = (_end(edge.links, 2 * node.id), _end(edge.links, 2 * node.id + 1))
    return _neighbour(node.name, deployment.asn, Role.NODE, *ends)


def prefixes(deployment: Deployment) -> Prefixes:
    return Prefixes(
        anycast=deployment.anycast.prefixes,
        pools=tuple(deployment.pools),
        loopbacks=tuple(deployment.loopbacks),
        links=tuple(net for dc in deployment.datacentres for e in dc.edges for net in e.links),
        services=tuple(net for dc in deployment.datacentres for net in dc.services),
    )


def _core_neighbours(deployment: Deployment, lab: LabSettings, core: Core) -> Iterator[Neighbour]:
    asns = {other.name: other.asn for other in lab.cores}
    for span in lab.core_links:
        if core.name in span.ends:
            yield _span_neighbour(span.ends, span.network, core.name, asns, Role.CORE)
    edges = {edge.name: edge.asn for dc in deployment.datacentres for edge in dc.edges}
    for uplink in lab.uplinks:
        if uplink.core == core.name:
            ends = (uplink.core, uplink.edge)
            yield _span_neighbour(ends, uplink.network, core.name, edges, Role.EDGE)


def _edge_neighbours(deployment: Deployment, lab: LabSettings, edge: Edge) -> Iterator[Neighbour]:
    cores = {core.name: core.asn for core in lab.cores}
    for uplink in lab.uplinks:
        if uplink.edge == edge.name:
            ends = (uplink.core, uplink.edge)
            yield _span_neighbour(ends, uplink.network, edge.name, cores, Role.CORE)
    edges = {other.name: other.asn for dc in deployment.datacentres for other in dc.edges}
    for span in lab.backbone:
        if edge.name in span.ends:
            yield _span_neighbour(span.ends, span.network, edge.name, edges, Role.EDGE)


def _span_neighbour(
    ends: tuple[str, str], network: Dual, own: str, asns: dict[str, int], role: Role
) -> Neighbour:
    """The other end of a link between routers, as `own` sees it."""
    local = ends.index(own)
    other = ends[1 - local]
    return _neighbour(other, asns[other], role, _end(network, local), _end(network, 1 - local))


def _end(network: Dual, offset: int) -> tuple[IPv4Address, IPv6Address]:
    return network.v4.network_address + offset, network.v6.network_address + offset


def _neighbour(
    name: str,
    asn: int,
    role: Role,
    local: tuple[IPv4Address, IPv6Address],
    remote: tuple[IPv4Address, IPv6Address],
) -> Neighbour:
    return Neighbour(
        name=name,
        asn=asn,
        role=role,
        local4=local[0],
        local6=local[1],
        remote4=remote[0],
        remote6=remote[1],
    )


def _router_id(edge: Edge) -> IPv4Address:
    """Its IPv4 loopback, else the first address of its links."""
    for address in edge.loopbacks:
        if isinstance(address, IPv4Address):
            return address
    return edge.links.v4.network_address


def _network(address: IPv4Address | IPv6Address) -> Network:
    return ip_network(address)
