"""Where hosts stand: what a kind of datacentre has to offer (`components.worlds`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import pulumi

from anycastle.model.deployment import Datacentre, Node
from components.attachment import Attachment
from components.foundation import Foundation
from components.host import Host


class Place(Protocol):
    """One datacentre's hosts.

    hosts: those that are there beside the nodes, e.g. edge routers of a lab.
    routers: configuration for edge routers that are not ours, by router and syntax.
    """

    @property
    def hosts(self) -> Sequence[Host]: ...

    @property
    def routers(self) -> Mapping[str, Mapping[str, str]]: ...

    def node(self, node: Node, parent: pulumi.Resource) -> Host:
        """Make a node's host, and its uplinks, as children of `parent`."""

    def attachment(self, node: Node) -> pulumi.Input[Attachment]:
        """How the node is connected; asked for after `node`."""

    def admit(
        self, node: Node, host: Host, installed: pulumi.Resource, parent: pulumi.Resource
    ) -> pulumi.Resource:
        """Give the node its secrets. What is returned is there when the node has them.

        installed: there when the node's software is.
        """


class World(Protocol):
    """What stands around the datacentres of one kind.

    clients: hosts to be enrolled as clients.
    hosts: everything that the world itself made, for the inventory.
    """

    @property
    def clients(self) -> Sequence[Host]: ...

    @property
    def hosts(self) -> Sequence[Host]: ...

    def datacentre(
        self, datacentre: Datacentre, foundation: Foundation, parent: pulumi.Resource
    ) -> Place:
        """Make what a datacentre has beside its nodes, as children of `parent`."""
