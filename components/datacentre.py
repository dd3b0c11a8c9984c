"""A datacentre: its edge side, and its nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from anycastle.model.deployment import Datacentre as DatacentreSettings
from anycastle.model.deployment import Deployment
from components.foundation import Foundation
from components.host import Host
from components.node import Node, NodeArgs
from components.peering import Mesh
from components.places import World
from tools.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class DatacentreArgs:
    """bundle: the software of the nodes. after: the node before the first of these, for what
    is done to one node at a time."""

    deployment: Deployment
    datacentre: DatacentreSettings
    world: World
    bundle: Bundle
    foundation: Foundation
    mesh: Mesh
    after: Node | None = None


class Datacentre(pulumi.ComponentResource):
    """hosts: all of the datacentre, nodes included. routers: see `places.Place`."""

    nodes: list[Node]
    hosts: list[Host]
    routers: Mapping[str, Mapping[str, str]]

    def __init__(
        self, name: str, args: DatacentreArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:index:Datacentre", name, None, opts)
        place = args.world.datacentre(args.datacentre, args.foundation, self)
        self.nodes = []
        for node in args.datacentre.nodes:
            node_args = NodeArgs(
                deployment=args.deployment,
                datacentre=args.datacentre,
                node=node,
                place=place,
                bundle=args.bundle,
                mesh=args.mesh,
                after=self.nodes[-1] if self.nodes else args.after,
            )
            made = Node(node.name, node_args, pulumi.ResourceOptions(parent=self))
            self.nodes.append(made)
        self.routers = place.routers
        self.hosts = [*place.hosts, *(node.host for node in self.nodes)]
        self.register_outputs({"nodes": [node.host.name for node in self.nodes]})
