"""A node: a host with the agent on it, joined to the deployment and ready to serve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from anycastle.model.deployment import Datacentre, Deployment
from anycastle.model.deployment import Node as NodeSettings
from components import commands
from components.bootstrap import Runtime, RuntimeArgs
from components.control_plane import ControlPlane
from components.host import Host
from components.naming import on
from components.network import peers_of
from components.peering import peerings
from components.secrets import DeploymentSecrets
from components.specs import document, node_spec
from tools.bundle import Bundle

JOIN_TOKEN_LIFETIME = 7 * 86400
"""Seconds; long enough to find out why a host fails, and to run `pulumi up` again."""
DRAIN_TIMEOUT = 30
"""Seconds that a node's removal waits for its sessions to move to other nodes."""
READY_TIMEOUT = 60
"""Seconds for an agent to join, configure the kernel and the daemon, and be ready."""


@dataclass(frozen=True, kw_only=True)
class NodeArgs:
    """make_host: makes the node's host as a child of the given resource.

    after: the node before this one, for what is done to one node at a time.
    """

    deployment: Deployment
    datacentre: Datacentre
    node: NodeSettings
    make_host: Callable[[NodeSettings, pulumi.Resource], Host]
    bundle: Bundle
    secrets: DeploymentSecrets
    control_plane: ControlPlane
    after: Node | None = None


class Node(pulumi.ComponentResource):
    """Host, software, secrets, peers and agent of one node. ready: it says so itself."""

    host: Host
    ready: pulumi.Resource

    def __init__(
        self, name: str, args: NodeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:index:Node", name, None, opts)
        self.host = args.make_host(args.node, self)
        runtime = Runtime(
            on(name, "runtime"),
            RuntimeArgs(host=self.host, bundle=args.bundle),
            pulumi.ResourceOptions(parent=self),
        )
        peers = peerings(self.host, peers_of(args.deployment, name), self)
        secrets = self._secrets(args)
        agent = self._agent(args, runtime, [runtime.installed, secrets, *peers])
        self.ready = self._roll(args, runtime, agent)
        self.register_outputs({"address": self.host.address})

    def _secrets(self, args: NodeArgs) -> remote.Command:
        return commands.run(
            self.host,
            "secrets",
            "node-secrets",
            {
                "SERVICE_KEY": args.secrets.service_key.private_key,
                "CONTROL_CA": args.secrets.authority.certificate,
                "JOIN_TOKEN": self._join_token(args).stdout.apply(str.strip),
            },
            parent=self,
            delete="rm -rf /etc/anycastle /var/lib/anycastle",
            secret=True,
        )

    def _join_token(self, args: NodeArgs) -> remote.Command:
        """Issued once per disk of the node, by the control plane that the node will join."""
        control, name = args.control_plane, args.node.name
        return remote.Command(
            on(name, "join-token"),
            connection=control.host.connection(),
            create=pulumi.Output.all(self.host.incarnation, control.host.incarnation).apply(
                lambda disks: join_token_command(name, *disks)
            ),
            delete=forget_command(name),
            logging=remote.Logging.NONE,
            opts=commands.options(
                control.host,
                parent=self,
                secret=True,
                # The links: a node that is removed drains (see `delete`) before it loses them.
                depends_on=[control.ready, *self.host.ready],
            ),
        )

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

    @staticmethod
    def _wanted(args: NodeArgs, runtime: Runtime) -> dict[str, str]:
        return {
            "VERSION": runtime.version,
            "TIMEOUT": str(READY_TIMEOUT),
            "NODE_SPEC": document(node_spec(args.deployment, args.datacentre, args.node)),
        }


def _as_control(command: str) -> str:
    return f"runuser -u anycastle -- anycastle-control {command}"


def join_token_command(node: str, node_disk: str, control_disk: str) -> str:
    """Prints a join token. The disks make it another command when one of them is a new one."""
    issue = _as_control(f"join-token {node} --expires-in {JOIN_TOKEN_LIFETIME}")
    return f"{issue} # for disk {node_disk}, from disk {control_disk}"


def forget_command(node: str) -> str:
    """For a node that leaves the deployment: it drains while it can; then its certificate and
    its tokens are void. The control plane sees to it, as the host may not answer any more."""
    return _as_control(f"forget-node {node} --drain {DRAIN_TIMEOUT}")
