"""Where hosts come from: one factory per kind of datacentre.

From here on everything is the same for every kind. A new kind is an entry in
`_FACTORIES` and a class with the shape of `places.World`. What a kind needs is imported
when a stack has it: the lab's program does not wait for a cloud's SDK.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from anycastle.model.deployment import Datacentre, Kind
from components.host import Host
from components.places import World
from components.settings import Settings
from tools import bundle
from tools.bundle import Bundle, Cloud


def _lab(settings: Settings) -> World:
    from components.lab import lab  # noqa: PLC0415

    assert settings.lab is not None
    return lab.LabWorld("lab", lab.LabWorldArgs(deployment=settings.deployment, lab=settings.lab))


def _aws(settings: Settings) -> World:
    from components.aws.region import AwsWorld  # noqa: PLC0415

    return AwsWorld(settings)


def _metal(settings: Settings) -> World:
    from components.metal import metal  # noqa: PLC0415

    args = metal.MetalWorldArgs(deployment=settings.deployment, ssh_key=metal.ssh_key())
    return metal.MetalWorld("metal", args)


_FACTORIES: Mapping[Kind, Callable[[Settings], World]] = {
    Kind.LAB: _lab,
    Kind.AWS: _aws,
    Kind.METAL: _metal,
}
_CLOUDS: Mapping[Kind, Cloud] = {Kind.AWS: "aws"}
"""Whose services nodes of a kind talk to themselves."""


class Worlds:
    """The world of each kind that this stack has a datacentre of."""

    def __init__(self, settings: Settings) -> None:
        kinds = dict.fromkeys(datacentre.kind for datacentre in settings.datacentres)
        self._worlds = {kind: _FACTORIES[kind](settings) for kind in kinds}

    def of(self, datacentre: Datacentre) -> World:
        return self._worlds[datacentre.kind]

    def bundle_of(self, datacentre: Datacentre) -> Bundle:
        """The software of a datacentre's nodes."""
        return bundle.build("agent", cloud=_CLOUDS.get(datacentre.kind, ""))

    @property
    def control(self) -> Host:
        """The host of a control plane that stands beside the first datacentre."""
        return next(
            host
            for world in self._worlds.values()
            for host in world.hosts
            if host.kind == "control"
        )

    @property
    def clients(self) -> list[Host]:
        return [client for world in self._worlds.values() for client in world.clients]

    @property
    def hosts(self) -> list[Host]:
        return [host for world in self._worlds.values() for host in world.hosts]
