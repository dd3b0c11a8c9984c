"""From a deployment and the lab's settings to every host and every link; pure.

A host's management number stays when others come and go: nodes are numbered by
their id, clients by site, everything else in an order in which a new datacentre or
site comes last.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Interface, IPv6Interface

from anycastle.model.addresses import Address, Dual, Interface, Network, link_ends, nth
from anycastle.model.deployment import Datacentre, Deployment, Edge, Kind, Node
from components.lab import kinds
from components.lab.routing import core_router, edge_router
from components.lab.settings import LabSettings, Site
from components.lab.world import Host, Link, Port, World, device_towards

INFRASTRUCTURE_FROM = 2
CLIENTS_FROM = 50
NODES_FROM = 127
"""A node's management number is this plus its id, which starts at 1."""
SERVICE_OFFSET = 10
"""Service host's address in each service network, as digits: .10 and ::10. The edge has 1."""
FIRST_CLIENT_OFFSET = 11


class Numbers:
    """Management numbers of one lab."""

    def __init__(self, deployment: Deployment, lab: LabSettings) -> None:
        names = [core.name for core in lab.cores]
        names.append(lab.control.name)
        names += [nat_name(site) for site in lab.sites]
        for datacentre in lab_datacentres(deployment):
            names += [edge.name for edge in datacentre.edges]
            names.append(service_name(datacentre))
        self._infrastructure = {name: INFRASTRUCTURE_FROM + i for i, name in enumerate(names)}
        self._sites = [site.name for site in lab.sites]

    def of(self, name: str) -> int:
        return self._infrastructure[name]

    def client(self, site: Site, index: int) -> int:
        return CLIENTS_FROM + index * len(self._sites) + self._sites.index(site.name)

    @staticmethod
    def node(node: Node) -> int:
        return NODES_FROM + node.id


def plan(deployment: Deployment, lab: LabSettings) -> World:
    """The whole lab. Both arguments have passed `components.settings`."""
    numbers = Numbers(deployment, lab)
    parts = [internet(deployment, lab, numbers)]
    parts += [site_world(deployment, lab, site, numbers) for site in lab.sites]
    for datacentre in lab_datacentres(deployment):
        parts.append(datacentre_world(deployment, lab, datacentre, numbers))
        parts += [node_world(deployment, datacentre, node) for node in datacentre.nodes]
    return World(
        hosts=tuple(host for part in parts for host in part.hosts),
        links=(
            *(link for part in parts for link in part.links),
            *backbone_links(deployment, lab),
        ),
    )


def lab_datacentres(deployment: Deployment) -> tuple[Datacentre, ...]:
    return tuple(dc for dc in deployment.datacentres if dc.kind is Kind.LAB)


def internet(deployment: Deployment, lab: LabSettings, numbers: Numbers) -> World:
    """Cores, the links between them, and the control-plane host."""
    mtu, control = deployment.fabric.mtu, lab.control
    cores = [
        kinds.core(core.name, numbers.of(core.name), core_router(deployment, lab, core))
        for core in lab.cores
    ]
    links = [_point_to_point(span.ends, span.network, mtu) for span in lab.core_links]
    return World(
        hosts=(*cores, kinds.control(control.name, numbers.of(control.name))),
        links=(*links, _stub(control.core, control.name, "eth0", control.network, mtu)),
    )


def site_world(deployment: Deployment, lab: LabSettings, site: Site, numbers: Numbers) -> World:
    """A NAT router and the clients behind it."""
    mtu, name, count = deployment.fabric.mtu, nat_name(site), lab.clients_of(site)
    nat = kinds.nat(name, site.name, numbers.of(name), interfaces(site.lan, 1))
    clients = [
        kinds.client(client_name(site, index), site.name, numbers.client(site, index))
        for index in range(count)
    ]
    return World(
        hosts=(nat, *clients),
        links=(
            _stub(site.core, name, "wan", site.wan, mtu),
            *(_access(site, index, mtu) for index in range(count)),
        ),
    )


def datacentre_world(
    deployment: Deployment, lab: LabSettings, datacentre: Datacentre, numbers: Numbers
) -> World:
    """A datacentre's edge routers with their links to cores, and its inside service host."""
    mtu = deployment.fabric.mtu
    hosts = [_edge_host(deployment, lab, datacentre, edge, numbers) for edge in datacentre.edges]
    links = [
        _point_to_point((uplink.core, uplink.edge), uplink.network, mtu)
        for edge in datacentre.edges
        for uplink in lab.uplinks
        if uplink.edge == edge.name
    ]
    if datacentre.services:
        name = service_name(datacentre)
        hosts.append(kinds.service(name, datacentre.name, numbers.of(name)))
        links.append(_service_link(datacentre, mtu))
    return World(hosts=tuple(hosts), links=tuple(links))


def node_world(deployment: Deployment, datacentre: Datacentre, node: Node) -> World:
    """A node's host, and an uplink (`up0`, `up1`, …) to each edge router of its datacentre."""
    host = kinds.node(node.name, datacentre.name, Numbers.node(node))
    links = [
        _node_link(edge, index, node, deployment.fabric.mtu)
        for index, edge in enumerate(datacentre.edges)
    ]
    return World(hosts=(host,), links=tuple(links))


def backbone_links(deployment: Deployment, lab: LabSettings) -> Iterator[Link]:
    """The inter-datacentre path: straight links between edge routers."""
    for span in lab.backbone:
        yield _point_to_point(span.ends, span.network, deployment.fabric.mtu)


def nat_name(site: Site) -> str:
    return f"{site.name}-nat"


def client_name(site: Site, index: int) -> str:
    """index: from 0."""
    return f"{site.name}-c{index + 1}"


def service_name(datacentre: Datacentre) -> str:
    return f"{datacentre.name}-svc"


def interfaces(networks: Dual, offset: int) -> tuple[Interface, ...]:
    """The addresses `offset` places into both networks, with their prefix lengths."""
    return tuple(_interface(network, offset) for network in networks)


def _interface(network: Network, offset: int) -> Interface:
    """IPv6 addresses show the same digits as IPv4 ones: .10 and ::10."""
    if network.version == 4:
        return IPv4Interface(f"{nth(network, offset)}/{network.prefixlen}")
    return IPv6Interface(f"{nth(network, int(str(offset), 16))}/{network.prefixlen}")


def _host_interface(address: Address) -> Interface:
    return IPv4Interface(address) if address.version == 4 else IPv6Interface(address)


def _edge_host(
    deployment: Deployment,
    lab: LabSettings,
    datacentre: Datacentre,
    edge: Edge,
    numbers: Numbers,
) -> Host:
    return kinds.edge(
        datacentre.name,
        numbers.of(edge.name),
        edge.routing or datacentre.routing,
        edge_router(deployment, lab, datacentre, edge),
        tuple(_host_interface(address) for address in edge.loopbacks),
    )


def _node_link(edge: Edge, index: int, node: Node, mtu: int) -> Link:
    upstream4, own4 = link_ends(edge.links.v4, node.id)
    upstream6, own6 = link_ends(edge.links.v6, node.id)
    return Link(
        name=f"{edge.name}_{node.name}",
        ends=(
            Port(
                host=edge.name,
                device=device_towards(node.name),
                addresses=(upstream4, upstream6),
            ),
            Port(host=node.name, device=f"up{index}", addresses=(own4, own6)),
        ),
        mtu=mtu,
    )


def _point_to_point(ends: tuple[str, str], network: Dual, mtu: int) -> Link:
    """Between two routers; the first one holds the first addresses."""
    first, second = ends
    return Link(
        name=f"{first}_{second}",
        ends=(
            Port(host=first, device=device_towards(second), addresses=interfaces(network, 0)),
            Port(host=second, device=device_towards(first), addresses=interfaces(network, 1)),
        ),
        mtu=mtu,
    )


def _stub(core: str, host: str, device: str, network: Dual, mtu: int) -> Link:
    """From a core to a host whose default route it is."""
    gateways = tuple(nth(net, 0) for net in network)
    return Link(
        name=f"{core}_{host}",
        ends=(
            Port(host=core, device=device_towards(host), addresses=interfaces(network, 0)),
            Port(host=host, device=device, addresses=interfaces(network, 1), gateways=gateways),
        ),
        mtu=mtu,
    )


def _access(site: Site, index: int, mtu: int) -> Link:
    """From the bridge of a site's NAT router to a client."""
    name = client_name(site, index)
    return Link(
        name=f"{nat_name(site)}_{name}",
        ends=(
            Port(host=nat_name(site), device=device_towards(name), bridge=kinds.LAN_BRIDGE),
            Port(
                host=name,
                device="eth0",
                addresses=interfaces(site.lan, FIRST_CLIENT_OFFSET + index),
                gateways=tuple(nth(net, 1) for net in site.lan),
            ),
        ),
        mtu=mtu,
    )


def _service_link(datacentre: Datacentre, mtu: int) -> Link:
    """From the first edge router to the inside service host."""
    edge, host = datacentre.edges[0].name, service_name(datacentre)
    return Link(
        name=f"{edge}_{host}",
        ends=(
            Port(
                host=edge,
                device=device_towards(host),
                addresses=tuple(_interface(net, 1) for net in datacentre.services),
            ),
            Port(
                host=host,
                device="eth0",
                addresses=tuple(_interface(net, SERVICE_OFFSET) for net in datacentre.services),
                gateways=tuple(nth(net, 1) for net in datacentre.services),
            ),
        ),
        mtu=mtu,
    )
