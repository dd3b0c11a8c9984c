"""Where hosts come from: one factory per kind of datacentre.

From here on everything is the same for every kind. A new kind is an entry in
`_FACTORIES`, a class with the shape of `World`, and its name in
`components.settings.names.AVAILABLE_KINDS`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import pulumi

from anycastle.model.deployment import Datacentre, Kind, Node
from components.host import Host
from components.lab import lab
from components.settings import Settings


class Place(Protocol):
    """One datacentre's hosts.

    hosts: those that are there beside the nodes, e.g. edge routers of a lab.
    """

    @property
    def hosts(self) -> Sequence[Host]: ...

    def node(self, node: Node, parent: pulumi.Resource) -> Host:
        """Make a node's host, and its uplinks, as children of `parent`."""


class World(Protocol):
    """What stands around the datacentres of one kind.

    control: the host for the control plane. clients: hosts to be enrolled as clients.
    hosts: everything that the world itself made, for the inventory.
    """

    @property
    def control(self) -> Host: ...

    @property
    def clients(self) -> Sequence[Host]: ...

    @property
    def hosts(self) -> Sequence[Host]: ...

    def datacentre(self, datacentre: Datacentre, parent: pulumi.Resource) -> Place:
        """Make what a datacentre has beside its nodes, as children of `parent`."""


def _lab(settings: Settings) -> World:
    assert settings.lab is not None
    return lab.LabWorld("lab", lab.LabWorldArgs(deployment=settings.deployment, lab=settings.lab))


_FACTORIES: Mapping[Kind, Callable[[Settings], World]] = {Kind.LAB: _lab}


class Worlds:
    """The world of each kind that the deployment uses."""

    def __init__(self, settings: Settings) -> None:
        kinds = dict.fromkeys(datacentre.kind for datacentre in settings.deployment.datacentres)
        self._worlds = {kind: _FACTORIES[kind](settings) for kind in kinds}

    def of(self, datacentre: Datacentre) -> World:
        return self._worlds[datacentre.kind]

    @property
    def control(self) -> Host:
        """The control plane stands beside the first datacentre."""
        return next(iter(self._worlds.values())).control

    @property
    def clients(self) -> list[Host]:
        return [client for world in self._worlds.values() for client in world.clients]

    @property
    def hosts(self) -> list[Host]:
        return [host for world in self._worlds.values() for host in world.hosts]
