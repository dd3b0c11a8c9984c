"""A datacentre: its edge side, and its nodes."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from anycastle.model.deployment import Datacentre as DatacentreSettings
from anycastle.model.deployment import Deployment
from components.control_plane import ControlPlane
from components.host import Host
from components.node import Node, NodeArgs
from components.secrets import DeploymentSecrets
from components.worlds import World
from tools.bundle import Bundle


@dataclass(frozen=True, kw_only=True)
class DatacentreArgs:
    """bundle: the software of the nodes. after: the node before the first of these, for what
    is done to one node at a time."""

    deployment: Deployment
    datacentre: DatacentreSettings
    world: World
    bundle: Bundle
    secrets: DeploymentSecrets
    control_plane: ControlPlane
    after: Node | None = None


class Datacentre(pulumi.ComponentResource):
    """hosts: all of the datacentre, nodes included."""

    nodes: list[Node]
    hosts: list[Host]

    def __init__(
        self, name: str, args: DatacentreArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:index:Datacentre", name, None, opts)
        place = args.world.datacentre(args.datacentre, self)
        self.nodes = []
        for node in args.datacentre.nodes:
            node_args = NodeArgs(
                deployment=args.deployment,
                datacentre=args.datacentre,
                node=node,
                make_host=place.node,
                bundle=args.bundle,
                secrets=args.secrets,
                control_plane=args.control_plane,
                after=self.nodes[-1] if self.nodes else args.after,
            )
            made = Node(node.name, node_args, pulumi.ResourceOptions(parent=self))
            self.nodes.append(made)
        self.hosts = [*place.hosts, *(node.host for node in self.nodes)]
        self.register_outputs({"nodes": [node.host.name for node in self.nodes]})
