"""A node: a host with the agent on it, joined to the deployment and ready to serve."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from anycastle.model.deployment import Datacentre, Deployment
from anycastle.model.deployment import Node as NodeSettings
from components import commands
from components.attachment import Attachment
from components.bootstrap import Runtime, RuntimeArgs
from components.host import Host
from components.naming import on
from components.peering import Mesh, peering
from components.places import Place
from components.specs import document, node_spec
from tools.bundle import Bundle

READY_TIMEOUT = 60
"""Seconds for an agent to join, configure the kernel and the daemon, and be ready."""


@dataclass(frozen=True, kw_only=True)
class NodeArgs:
    """place: makes the node's host, says how it is connected, and gives it its secrets.

    after: the node before this one, for what is done to one node at a time.
    """

    deployment: Deployment
    datacentre: Datacentre
    node: NodeSettings
    place: Place
    bundle: Bundle
    mesh: Mesh
    after: Node | None = None


class Node(pulumi.ComponentResource):
    """Host, software, secrets, peers and agent of one node. ready: it says so itself."""

    host: Host
    ready: pulumi.Resource

    def __init__(
        self, name: str, args: NodeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:index:Node", name, None, opts)
        self.host = args.place.node(args.node, self)
        runtime = Runtime(
            on(name, "runtime"),
            RuntimeArgs(host=self.host, bundle=args.bundle),
            pulumi.ResourceOptions(parent=self),
        )
        peers = peering(self.host, args.mesh, self)
        secrets = args.place.admit(args.node, self.host, runtime.installed, self)
        agent = self._agent(args, runtime, [runtime.installed, secrets, peers])
        self.ready = self._roll(args, runtime, agent)
        self.register_outputs({"address": self.host.address})

    def _agent(
        self, args: NodeArgs, runtime: Runtime, needs: list[pulumi.Resource]
    ) -> remote.Command:
        """The spec, and the agent's first start: all nodes at once."""
        return commands.run(
            self.host,
            "agent",
            "agent",
            self._wanted(args, runtime),
            parent=self,
            delete="systemctl disable -q --now anycastle-agent",
            depends_on=[*self.host.ready, *needs],
        )

    def _roll(self, args: NodeArgs, runtime: Runtime, agent: remote.Command) -> remote.Command:
        """Another version or spec for an agent that runs: one node after another, so that the
        others serve meanwhile, and so that a bad one stops at the first."""
        after = [] if args.after is None else [args.after.ready]
        return commands.run(
            self.host,
            "roll",
            "roll",
            self._wanted(args, runtime),
            parent=self,
            depends_on=[agent, *after],
        )

    def _wanted(self, args: NodeArgs, runtime: Runtime) -> dict[str, pulumi.Input[str]]:
        return {
            "VERSION": runtime.version,
            "TIMEOUT": str(READY_TIMEOUT),
            "NODE_SPEC": self._spec(args),
        }

    @staticmethod
    def _spec(args: NodeArgs) -> pulumi.Input[str]:
        def text(attachment: Attachment) -> str:
            return document(node_spec(args.deployment, args.datacentre, args.node, attachment))

        attachment = args.place.attachment(args.node)
        if isinstance(attachment, Attachment):
            return text(attachment)
        return pulumi.Output.all(attachment).apply(lambda found: text(found[0]))
