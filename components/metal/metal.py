"""Datacentres of one's own as components: hosts that exist, and what their routers need.

MetalWorld        the host of the control plane, if it is one of these
MetalDatacentre   prints the edge routers' configuration (child of the datacentre)
  node()          a node's host, its uplinks numbered

Nothing here makes or destroys a host. What the stack put on one is taken away again when
the node leaves the deployment, so a removal logs in.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import pulumi
from pulumi_command import remote

from anycastle.model.deployment import Datacentre, Deployment, Node
from anycastle.model.metal import MetalHost
from components import admission, commands
from components.attachment import Attachment, to_edges
from components.foundation import Foundation
from components.host import Host
from components.metal.neighbours import ROUTERS
from components.metal.neighbours.model import edge as edge_side
from components.naming import on
from components.network import edge_peers

SSH_KEY = "sshKey"
"""Secret setting `anycastle:sshKey`: the private key that logs in on every host."""


@dataclass(frozen=True, kw_only=True)
class MetalWorldArgs:
    """deployment has passed `components.settings`. ssh_key: OpenSSH text, a secret."""

    deployment: Deployment
    ssh_key: pulumi.Input[str]


def ssh_key() -> pulumi.Output[str]:
    """The key from the stack's configuration. Raises pulumi.RunError."""
    key = pulumi.Config("anycastle").get_secret(SSH_KEY)
    if key is None:
        raise pulumi.RunError(
            f"the stack's configuration has 1 error:\n  anycastle:{SSH_KEY}: missing; the private "
            f"key that logs in on the hosts: `pulumi config set --secret anycastle:{SSH_KEY} "
            "< ~/.ssh/id_ed25519`"
        )
    return key.apply(lambda text: text.rstrip("\n") + "\n")


class MetalWorld(pulumi.ComponentResource):
    """hosts: that of the control plane, if it is on metal, too. clients: none."""

    hosts: list[Host]
    clients: list[Host]

    def __init__(
        self, name: str, args: MetalWorldArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:metal:World", name, None, opts)
        self.args = args
        self.clients = []
        metal = args.deployment.metal
        control = metal.control if metal is not None else None
        self.hosts = []
        if control is not None:
            login = Login(control, args.ssh_key)
            self.hosts.append(existing_host(login, "control", "control", "", self))
        self.register_outputs({"hosts": [host.name for host in self.hosts]})

    def datacentre(
        self, datacentre: Datacentre, foundation: Foundation, parent: pulumi.Resource
    ) -> MetalDatacentre:
        """What is printed for its edge routers."""
        args = MetalDatacentreArgs(world=self, datacentre=datacentre, foundation=foundation)
        opts = pulumi.ResourceOptions(parent=parent)
        return MetalDatacentre(f"{datacentre.name}-edges", args, opts)


@dataclass(frozen=True, kw_only=True)
class MetalDatacentreArgs:
    world: MetalWorld
    datacentre: Datacentre
    foundation: Foundation


class MetalDatacentre(pulumi.ComponentResource):
    """routers: edge router -> syntax -> its configuration; the stack's output `routers`."""

    hosts: list[Host]
    routers: dict[str, dict[str, str]]

    def __init__(
        self, name: str, args: MetalDatacentreArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:metal:Datacentre", name, None, opts)
        self.hosts = []
        self._args = args
        deployment, datacentre = args.world.args.deployment, args.datacentre
        self.routers = {
            edge.name: {
                syntax: render(edge_side(deployment, datacentre, edge))
                for syntax, render in ROUTERS.items()
            }
            for edge in datacentre.edges
        }
        self.register_outputs({"routers": self.routers})

    def node(self, node: Node, parent: pulumi.Resource) -> Host:
        """The host of a node, ready when its uplinks have their addresses."""
        datacentre, metal = self._args.datacentre, self._args.datacentre.metal
        assert metal is not None
        login = Login(metal.hosts[node.name], self._args.world.args.ssh_key)
        host = existing_host(login, node.name, "node", datacentre.name, parent)
        uplinks = [
            _uplink(host, peer.device, [str(peer.local4), str(peer.local6)], parent)
            for peer in edge_peers(datacentre, node)
        ]
        return replace(host, ready=tuple(uplinks))

    def attachment(self, node: Node) -> Attachment:
        return to_edges(self._args.world.args.deployment, self._args.datacentre, node)

    def admit(
        self, _node: Node, host: Host, installed: pulumi.Resource, parent: pulumi.Resource
    ) -> pulumi.Resource:
        """Over SSH on the control plane's host where this stack made it, else over its API."""
        how = admission.over_api if self._args.foundation.control is None else admission.over_ssh
        return how(self._args.foundation, host, installed, parent)


@dataclass(frozen=True)
class Login:
    """A host that somebody else installed, and the key that its user takes."""

    host: MetalHost
    key: pulumi.Input[str]


def existing_host(login: Login, name: str, kind: str, place: str, parent: pulumi.Resource) -> Host:
    """The host as all others see it. Its machine id tells when it was installed anew."""
    host, key = login.host, login.key
    connection = remote.ConnectionArgs(
        host=host.address,
        port=host.port,
        user=host.user,
        private_key=key,
        host_key=host.host_key,
        dial_error_limit=10,
        per_dial_timeout=5,
    )
    identity = remote.Command(
        on(name, "identity"),
        connection=connection,
        create=f"cat /etc/machine-id # as {host.host_key}",
        opts=pulumi.ResourceOptions(parent=parent),
    )
    return Host(
        name=name,
        kind=kind,
        place=place,
        resource=identity,
        address=host.address,
        port=host.port,
        user=host.user,
        host_key=host.host_key,
        private_key=key,
        incarnation=identity.stdout.apply(str.strip),
        outlives=True,
    )


def _uplink(host: Host, nic: str, addresses: list[str], parent: pulumi.Resource) -> remote.Command:
    return commands.run(
        host,
        f"uplinks/{nic}",
        "uplink",
        {"NIC": nic, "ADDRESSES": " ".join(addresses)},
        parent=parent,
        delete=uplink_removal(nic, addresses),
    )


def uplink_removal(nic: str, addresses: list[str]) -> str:
    """Takes away what uplink.sh put there; the device stays up."""
    unit = f"anycastle-uplink-{nic}"
    drop = "; ".join(
        f"ip address delete {address} dev {nic} 2>/dev/null || :" for address in addresses
    )
    return (
        f"systemctl disable -q --now {unit}; rm -f /etc/systemd/system/{unit}.service; "
        f"systemctl daemon-reload; {drop}"
    )
