"""A plan's hosts and links as resources, and what other components get to see of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import pulumi

from components.host import Host
from components.lab import resources, world
from components.lab.layout import Layout, Management
from components.lab.login import login
from components.naming import on


class Machines:
    """The hosts of one lab. Hosts that a link needs have been made before the link."""

    def __init__(self, lab: str, parent: pulumi.Resource) -> None:
        self._layout = Layout.of(lab)
        self._login = login(self._layout)
        self._network = resources.Network("management", lab, pulumi.ResourceOptions(parent=parent))
        self._disks: dict[str, resources.Disk] = {}
        self._hosts: dict[str, resources.Host] = {}
        self._nodes: set[str] = set()
        self._uplinks: dict[str, list[pulumi.Resource]] = defaultdict(list)

    def make(self, plan: world.World, parent: pulumi.Resource) -> list[Host]:
        """Hosts and links as children of `parent`; the hosts, in the plan's order.

        A host's `ready` holds the links that came with it.
        """
        self._nodes |= {host.name for host in plan.hosts if host.kind is world.HostKind.NODE}
        for host in plan.hosts:
            self._make_host(host, parent)
        links = {link.name: self.link(link, parent) for link in plan.links}
        return [
            self._seen(host, [links[link.name] for link in plan.links_of(host.name)])
            for host in plan.hosts
        ]

    def link(self, plan: world.Link, parent: pulumi.Resource) -> resources.Link:
        ends = [port.host for port in plan.ends]
        options = pulumi.ResourceOptions(
            parent=parent, depends_on=[self._hosts[host] for host in ends]
        )
        made = resources.Link(plan.name, self._layout.lab, plan, options)
        if not self._nodes.intersection(ends):
            for host in ends:
                self._uplinks[host].append(made)
        return made

    def edge_peer(
        self, edge: str, node: str, block: str, *, link: pulumi.Resource, parent: pulumi.Resource
    ) -> resources.EdgePeer:
        """The sessions that edge router `edge` has with `node`, over `link`.

        They come after the edge's other links: see `tell_addresses` in edge-peer.sh.
        """
        args = resources.EdgePeerArgs(
            lab=self._layout.lab, edge=edge, node=node, block=block, disk=self._disks[edge]
        )
        options = pulumi.ResourceOptions(
            parent=parent,
            depends_on=[self._hosts[edge], *self._uplinks[edge], link],
            deleted_with=self._hosts[edge],
        )
        return resources.EdgePeer(on(edge, "peers", node), args, options)

    def _make_host(self, plan: world.Host, parent: pulumi.Resource) -> None:
        options = pulumi.ResourceOptions(parent=parent)
        disk = resources.Disk(on(plan.name, "disk"), self._layout.lab, plan.name, options)
        args = resources.HostArgs(
            lab=self._layout.lab,
            plan=plan,
            network=self._network,
            disk=disk,
            authorized_key=self._login.public_key,
        )
        self._disks[plan.name] = disk
        self._hosts[plan.name] = resources.Host(plan.name, args, options)

    def _seen(self, plan: world.Host, ready: Sequence[pulumi.Resource]) -> Host:
        disk, number = self._disks[plan.name], plan.number
        return Host(
            name=plan.name,
            kind=plan.kind.value,
            place=plan.place,
            resource=self._hosts[plan.name],
            address=self._network.index.apply(lambda index: _address(index, number)),
            host_key=disk.host_key,
            private_key=self._login.private_key,
            incarnation=disk.incarnation,
            key_file=self._login.key_file,
            netns=self._layout.netns(plan.name),
            ready=tuple(ready),
        )


def _address(index: float, number: int) -> str:
    return str(Management(int(index)).address(number))
