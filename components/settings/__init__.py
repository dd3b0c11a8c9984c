"""The stack's configuration, as typed values.

shape     has a document the shape of a struct? all faults, with paths
names     names, ids and kinds
numbers   ASNs, ports, sizes, times
networks  addresses in their networks, networks beside each other

A new setting is a field of `anycastle.model.deployment` (or of the lab's settings);
what it must be to the others is a rule in the file above that fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pulumi

from anycastle.model.codec import ModelError, from_plain
from anycastle.model.deployment import Deployment, Kind
from components.lab import settings as lab_settings
from components.lab.settings import LabSettings
from components.settings import names, networks, numbers, shape

DEPLOYMENT_KEY = "anycastle:deployment"
LAB_KEY = "anycastle:lab"


@dataclass(frozen=True)
class Settings:
    """lab: None in a stack without a lab datacentre."""

    deployment: Deployment
    lab: LabSettings | None = None


class SettingsError(ValueError):
    """A stack file that can't be used. faults: all of them, in the order of the file."""

    def __init__(self, faults: Sequence[ModelError]) -> None:
        self.faults = tuple(faults)
        count = "1 error" if len(faults) == 1 else f"{len(faults)} errors"
        lines = [f"the stack's configuration has {count}:", *(f"  {fault}" for fault in faults)]
        super().__init__("\n".join(lines))


def load() -> Settings:
    """The running stack's settings. Raises pulumi.RunError."""
    config = pulumi.Config("anycastle")
    try:
        return parse(config.get_object("deployment"), config.get_object("lab"))
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None


def parse(deployment: object, lab: object) -> Settings:
    """Typed settings out of plain documents. Raises SettingsError."""
    _refuse(_shape_faults(deployment, lab))
    parsed = from_plain(deployment, Deployment)
    needs_lab = any(datacentre.kind is Kind.LAB for datacentre in parsed.datacentres)
    settings = Settings(parsed, from_plain(lab or {}, LabSettings) if needs_lab else None)
    _refuse(_rule_faults(settings))
    return settings


def _refuse(faults: Iterable[ModelError]) -> None:
    if found := list(faults):
        raise SettingsError(found)


def _shape_faults(deployment: object, lab: object) -> Iterator[ModelError]:
    if deployment is None:
        yield ModelError(DEPLOYMENT_KEY, "missing in the stack's file in stacks/")
    else:
        yield from shape.faults(deployment, Deployment, DEPLOYMENT_KEY)
    if lab is not None:
        yield from shape.faults(lab, LabSettings, LAB_KEY)


def _rule_faults(settings: Settings) -> Iterator[ModelError]:
    for rules in (names, numbers, networks):
        yield from rules.check(settings.deployment, DEPLOYMENT_KEY)
    if settings.lab is not None:
        for fault in lab_settings.check(settings.lab, settings.deployment):
            yield ModelError(f"{LAB_KEY}.{fault.path}", fault.reason)
