"""What a stack file says about the lab's world (`anycastle:lab`).

Everything that the deployment itself does not have to know: the internet around
it, the sites with their clients, the service and control-plane hosts. All networks
of links are point to point: IPv4 /31 (RFC 3021) and IPv6 /127 (RFC 6164); the first
address belongs to the host that is named first here (a core before what hangs on it).
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

import msgspec

from anycastle.model.addresses import Dual, Network
from anycastle.model.codec import ModelError
from anycastle.model.deployment import Deployment, Kind

INFRASTRUCTURE_MAX = 48
CLIENTS_MAX = 77
NODE_ID_MAX = 127


class Core(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A router of the lab's internet (BIRD). asn: its own, unlike any other."""

    name: str
    asn: int


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A link between two cores, or two edges (the backbone). ends: two names."""

    ends: tuple[str, str]
    network: Dual


class Uplink(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where an edge router of the deployment meets the internet."""

    edge: str
    core: str
    network: Dual


class ControlHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The control-plane host. Its address is the second one of `network`."""

    name: str = "control"
    core: str
    network: Dual


class Site(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An access network behind a NAT router. wan: link to the core; lan: the clients' side.

    clients: how many; None takes the lab's `clients_per_site`.
    """

    name: str
    core: str
    wan: Dual
    lan: Dual
    clients: int | None = None


def _dual(v4: str, v6: str) -> Dual:
    return Dual(IPv4Network(v4), IPv6Network(v6))


class LabSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The world around the deployment. Without settings: that of `docs/lab.md`."""

    cores: tuple[Core, ...] = (Core(name="core1", asn=64511), Core(name="core2", asn=64510))
    core_links: tuple[Span, ...] = (
        Span(ends=("core1", "core2"), network=_dual("198.51.100.4/31", "2001:db8:100::4/127")),
    )
    uplinks: tuple[Uplink, ...] = (
        Uplink(
            edge="ams-edge",
            core="core1",
            network=_dual("198.51.100.0/31", "2001:db8:100::/127"),
        ),
        Uplink(
            edge="fra-edge",
            core="core2",
            network=_dual("198.51.100.2/31", "2001:db8:100::2/127"),
        ),
    )
    backbone: tuple[Span, ...] = (
        Span(ends=("ams-edge", "fra-edge"), network=_dual("10.66.0.0/31", "fd00:66::/127")),
    )
    control: ControlHost = ControlHost(
        core="core1", network=_dual("198.51.100.16/31", "2001:db8:100:1::/127")
    )
    sites: tuple[Site, ...] = (
        Site(
            name="site1",
            core="core1",
            wan=_dual("203.0.113.0/31", "2001:db8:200::/127"),
            lan=_dual("192.168.1.0/24", "fd00:a1::/64"),
        ),
        Site(
            name="site2",
            core="core2",
            wan=_dual("203.0.113.2/31", "2001:db8:200::2/127"),
            lan=_dual("192.168.2.0/24", "fd00:a2::/64"),
        ),
    )
    clients_per_site: int = 2

    def clients_of(self, site: Site) -> int:
        return self.clients_per_site if site.clients is None else site.clients


def check(lab: LabSettings, deployment: Deployment) -> Iterator[ModelError]:
    """What does not fit together. Paths are relative to `anycastle:lab`."""
    edges = {edge.name for dc in deployment.datacentres for edge in dc.edges}
    cores = {core.name for core in lab.cores}
    yield from _check_names(lab, deployment)
    yield from _check_asns(lab, deployment)
    for i, span in enumerate(lab.core_links):
        yield from _unknown(span.ends, cores, f"core_links[{i}].ends", "core")
    for i, span in enumerate(lab.backbone):
        yield from _unknown(span.ends, edges, f"backbone[{i}].ends", "edge router")
    for i, uplink in enumerate(lab.uplinks):
        yield from _unknown((uplink.edge,), edges, f"uplinks[{i}].edge", "edge router")
        yield from _unknown((uplink.core,), cores, f"uplinks[{i}].core", "core")
    for i, site in enumerate(lab.sites):
        yield from _unknown((site.core,), cores, f"sites[{i}].core", "core")
    yield from _unknown((lab.control.core,), cores, "control.core", "core")
    yield from _check_networks(lab)
    yield from _check_sizes(lab, deployment)
    for edge in sorted(_lab_edges(deployment) - {uplink.edge for uplink in lab.uplinks}):
        yield ModelError("uplinks", f"edge router {edge!r} has no link to a core")


def _lab_edges(deployment: Deployment) -> set[str]:
    return {edge.name for dc in deployment.datacentres for edge in dc.edges if dc.kind is Kind.LAB}


def _unknown(names: tuple[str, ...], known: set[str], path: str, what: str) -> Iterator[ModelError]:
    for name in names:
        if name not in known:
            listed = ", ".join(sorted(known))
            yield ModelError(path, f"{name!r} is no {what}; known are {listed}")


def _check_names(lab: LabSettings, deployment: Deployment) -> Iterator[ModelError]:
    """Every host of the lab, whatever its kind, needs a name of its own."""
    taken: dict[str, str] = {}
    for dc in deployment.datacentres:
        inside = [edge.name for edge in dc.edges] + [node.name for node in dc.nodes]
        taken.update(dict.fromkeys([*inside, f"{dc.name}-svc"], f"datacentre {dc.name}"))
    found = [(f"cores[{i}].name", core.name) for i, core in enumerate(lab.cores)]
    found.append(("control.name", lab.control.name))
    for i, site in enumerate(lab.sites):
        clients = [f"{site.name}-c{n + 1}" for n in range(lab.clients_of(site))]
        found += [(f"sites[{i}].name", name) for name in (f"{site.name}-nat", *clients)]
    for path, name in found:
        if name in taken:
            yield ModelError(path, f"host name {name!r} is taken by {taken[name]}")
        taken[name] = path


def _check_asns(lab: LabSettings, deployment: Deployment) -> Iterator[ModelError]:
    taken = {edge.asn: edge.name for dc in deployment.datacentres for edge in dc.edges}
    taken[deployment.asn] = "the deployment"
    for i, core in enumerate(lab.cores):
        if not 1 <= core.asn <= 4294967294:
            yield ModelError(f"cores[{i}].asn", f"{core.asn} is no ASN; 1 to 4294967294 are")
        if core.asn in taken:
            yield ModelError(f"cores[{i}].asn", f"AS {core.asn} belongs to {taken[core.asn]}")
        taken[core.asn] = core.name


def _check_networks(lab: LabSettings) -> Iterator[ModelError]:
    """Link networks are point to point, and no two networks overlap."""
    links = [(f"core_links[{i}].network", span.network) for i, span in enumerate(lab.core_links)]
    links += [(f"uplinks[{i}].network", uplink.network) for i, uplink in enumerate(lab.uplinks)]
    links += [(f"backbone[{i}].network", span.network) for i, span in enumerate(lab.backbone)]
    links.append(("control.network", lab.control.network))
    links += [(f"sites[{i}].wan", site.wan) for i, site in enumerate(lab.sites)]
    for path, dual in links:
        for network in dual:
            if network.num_addresses != 2:
                length = network.max_prefixlen - 1
                yield ModelError(path, f"{network} is no /{length}, as a link's network has to be")
    lans = [(f"sites[{i}].lan", site.lan) for i, site in enumerate(lab.sites)]
    seen: list[tuple[str, Network]] = []
    for path, dual in links + lans:
        for network in dual:
            for other_path, other in seen:
                if network.version == other.version and network.overlaps(other):
                    yield ModelError(path, f"{network} overlaps {other} of {other_path}")
            seen.append((path, network))


def _check_sizes(lab: LabSettings, deployment: Deployment) -> Iterator[ModelError]:
    """One octet numbers the hosts on the management bridge: see `topology.Numbers`."""
    most = CLIENTS_MAX // max(1, len(lab.sites))
    if not 0 <= lab.clients_per_site <= most:
        reason = f"{lab.clients_per_site} is not possible; a lab has room for 0 to {most} a site"
        yield ModelError("clients_per_site", reason)
    for i, site in enumerate(lab.sites):
        clients = lab.clients_of(site)
        if site.clients is not None and not 0 <= clients <= most:
            reason = f"{clients} is not possible; a lab has room for 0 to {most} a site"
            yield ModelError(f"sites[{i}].clients", reason)
        elif clients + 11 >= site.lan.v4.num_addresses:
            yield ModelError(f"sites[{i}].lan", f"{site.lan.v4} has no room for {clients} clients")
    lab_dcs = [dc for dc in deployment.datacentres if dc.kind is Kind.LAB]
    routers = len(lab.cores) + len(lab.sites) + 1 + sum(len(dc.edges) + 1 for dc in lab_dcs)
    if routers > INFRASTRUCTURE_MAX:
        yield ModelError("", f"{routers} routers and servers; a lab has {INFRASTRUCTURE_MAX}")
    for node in (node for dc in lab_dcs for node in dc.nodes):
        if node.id > NODE_ID_MAX:
            reason = f"node {node.name!r} has id {node.id}; a lab's nodes have 1 to {NODE_ID_MAX}"
            yield ModelError("", reason)
