"""The lab's world as components: internet, sites, datacentres, and hosts for nodes.

LabWorld            management network, cores and the control-plane host
  Site              NAT router and clients
LabDatacentre       edge routers and service host (child of the datacentre)
  node()            a node's host, its uplinks and its edges' sessions with it
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi

from anycastle.model.deployment import Datacentre, Deployment, Edge, Node
from components import admission
from components.attachment import Attachment, to_edges
from components.foundation import Foundation
from components.host import Host
from components.lab import settings, topology
from components.lab.machines import Machines
from components.lab.routers import edge_peer
from components.lab.routing import node_neighbour
from components.lab.world import HostKind


@dataclass(frozen=True, kw_only=True)
class LabWorldArgs:
    """deployment and lab have passed `components.settings`."""

    deployment: Deployment
    lab: settings.LabSettings


class LabWorld(pulumi.ComponentResource):
    """Everything around the datacentres.

    control: the host for the control plane. clients: hosts to be enrolled as clients.
    hosts: all that the world made itself.
    """

    control: Host
    clients: list[Host]
    hosts: list[Host]

    def __init__(
        self, name: str, args: LabWorldArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:lab:World", name, None, opts)
        self.args = args
        self.numbers = topology.Numbers(args.deployment, args.lab)
        self.machines = Machines(os.environ.get("LAB") or pulumi.get_stack(), self)
        self._edges: set[str] = set()
        plan = topology.internet(args.deployment, args.lab, self.numbers)
        self.hosts = self.machines.make(plan, self)
        for site in args.lab.sites:
            made = Site(site.name, self._site(site), pulumi.ResourceOptions(parent=self))
            self.hosts += made.hosts
        self.control = self._of_kind(HostKind.CONTROL)[0]
        self.clients = self._of_kind(HostKind.CLIENT)
        self.register_outputs({"control": self.control.address})

    def datacentre(
        self, datacentre: Datacentre, foundation: Foundation, parent: pulumi.Resource
    ) -> LabDatacentre:
        """Edge routers, service host and their links, and the backbone to those made before."""
        args = LabDatacentreArgs(world=self, datacentre=datacentre, foundation=foundation)
        opts = pulumi.ResourceOptions(parent=parent)
        made = LabDatacentre(f"{datacentre.name}-edges", args, opts)
        self._make_backbone({edge.name for edge in datacentre.edges})
        return made

    def _site(self, site: settings.Site) -> SiteArgs:
        return SiteArgs(
            deployment=self.args.deployment,
            lab=self.args.lab,
            site=site,
            numbers=self.numbers,
            machines=self.machines,
        )

    def _of_kind(self, kind: HostKind) -> list[Host]:
        return [host for host in self.hosts if host.kind == kind.value]

    def _make_backbone(self, new: set[str]) -> None:
        """Links whose second end has just come."""
        self._edges |= new
        for link in topology.backbone_links(self.args.deployment, self.args.lab):
            ends = {port.host for port in link.ends}
            if ends <= self._edges and ends & new:
                self.machines.link(link, self)


@dataclass(frozen=True, kw_only=True)
class SiteArgs:
    deployment: Deployment
    lab: settings.LabSettings
    site: settings.Site
    numbers: topology.Numbers
    machines: Machines


class Site(pulumi.ComponentResource):
    """An access network: clients behind a NAT router. hosts: all of them."""

    hosts: list[Host]

    def __init__(
        self, name: str, args: SiteArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:lab:Site", name, None, opts)
        plan = topology.site_world(args.deployment, args.lab, args.site, args.numbers)
        self.hosts = args.machines.make(plan, self)
        self.register_outputs({"hosts": [host.name for host in self.hosts]})


@dataclass(frozen=True, kw_only=True)
class LabDatacentreArgs:
    world: LabWorld
    datacentre: Datacentre
    foundation: Foundation


class LabDatacentre(pulumi.ComponentResource):
    """What a datacentre has beside its nodes. hosts: edge routers and the service host.

    routers: none, as the lab's are ours.
    """

    hosts: list[Host]
    routers: Mapping[str, Mapping[str, str]]

    def __init__(
        self, name: str, args: LabDatacentreArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:lab:Datacentre", name, None, opts)
        self.routers = {}
        self._datacentre = args.datacentre
        self._foundation = args.foundation
        self._deployment = args.world.args.deployment
        self._machines = args.world.machines
        plan = topology.datacentre_world(
            self._deployment, args.world.args.lab, args.datacentre, args.world.numbers
        )
        self.hosts = self._machines.make(plan, self)
        self.register_outputs({"hosts": [host.name for host in self.hosts]})

    def node(self, node: Node, parent: pulumi.Resource) -> Host:
        """A node's host with its uplinks, ready when each edge router expects its sessions."""
        plan = topology.node_world(self._deployment, self._datacentre, node)
        (host,) = self._machines.make(plan, parent)
        peers = [
            self._machines.edge_peer(
                edge.name, node.name, self._block(edge, node), link=link, parent=parent
            )
            for edge, link in zip(self._datacentre.edges, host.ready, strict=True)
        ]
        return replace(host, ready=(*host.ready, *peers))

    def attachment(self, node: Node) -> Attachment:
        return to_edges(self._deployment, self._datacentre, node)

    def admit(
        self, _node: Node, host: Host, installed: pulumi.Resource, parent: pulumi.Resource
    ) -> pulumi.Resource:
        return admission.over_ssh(self._foundation, host, installed, parent)

    def _block(self, edge: Edge, node: Node) -> str:
        neighbour = node_neighbour(self._deployment, edge, node)
        return edge_peer.block(edge.routing or self._datacentre.routing, edge.asn, neighbour)
