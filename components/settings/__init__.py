"""The stack's configuration, as typed values.

stacks    which part of a deployment a stack is; the whole out of several files
shape     has a document the shape of a struct? all faults, with paths
names     names, ids and kinds
numbers   ASNs, ports, sizes, times
networks  addresses in their networks, networks beside each other
aws       regions, zones, entries, images
metal     hosts that exist

A new setting is a field of `anycastle.model.deployment` (or of the lab's settings);
what it must be to the others is a rule in the file above that fits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from anycastle.model.codec import ModelError, from_plain
from anycastle.model.deployment import Datacentre, Deployment, Kind
from components.lab import settings as lab_settings
from components.lab.settings import LabSettings
from components.settings import aws, files, metal, names, networks, numbers, shape
from components.settings.stacks import (
    DEPLOYMENT_KEY,
    KEYS,
    LAB_KEY,
    STACK_KEY,
    Assembly,
    Documents,
    Role,
    StackSettings,
    assemble,
)


@dataclass(frozen=True)
class Settings:
    """deployment: the whole, whichever part of it this stack makes.

    lab: None in a stack without a lab datacentre. homes: stack of each datacentre, by name.
    own: names of the datacentres that this stack makes.
    """

    deployment: Deployment
    lab: LabSettings | None = None
    stack: StackSettings = field(default_factory=StackSettings)
    homes: Mapping[str, str] = field(default_factory=dict)
    own: tuple[str, ...] = ()

    @property
    def datacentres(self) -> tuple[Datacentre, ...]:
        """The datacentres that this stack makes."""
        return tuple(dc for dc in self.deployment.datacentres if dc.name in self.own)

    @property
    def has_foundation(self) -> bool:
        """Does this stack make what the datacentres share? Else it reads it."""
        return self.stack.role is not Role.REGION

    @property
    def is_global(self) -> bool:
        """Do other stacks read this one?"""
        return self.stack.role is Role.GLOBAL


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
    own = {key: config.get_object(key.removeprefix("anycastle:")) for key in KEYS}
    name = pulumi.get_stack()
    try:
        # A stack without a role is alone: no other file may keep it from working.
        others = files.others(name, files.folder()) if own[STACK_KEY] is not None else {}
        return parse_stack(name, own, others)
    except ModelError as error:
        raise pulumi.RunError(str(SettingsError([error]))) from None
    except SettingsError as error:
        raise pulumi.RunError(str(error)) from None


def parse(deployment: object, lab: object = None) -> Settings:
    """Settings of a stack that is a whole deployment. Raises SettingsError."""
    return parse_stack("", {DEPLOYMENT_KEY: deployment, LAB_KEY: lab}, {})


def parse_stack(name: str, own: Documents, others: Mapping[str, Documents]) -> Settings:
    """Typed settings of the stack `name` out of plain documents. Raises SettingsError."""
    assembly, faults = assemble(name, own, others)
    if assembly is None:
        raise SettingsError(faults)
    _refuse(assembly, _shape_faults(assembly))
    parsed = from_plain(assembly.deployment, Deployment)
    needs_lab = any(datacentre.kind is Kind.LAB for datacentre in parsed.datacentres)
    homes = dict(zip((dc.name for dc in parsed.datacentres), assembly.homes, strict=True))
    settings = Settings(
        parsed,
        from_plain(assembly.lab or {}, LabSettings) if needs_lab else None,
        assembly.stack,
        homes,
        tuple(datacentre for datacentre, home in homes.items() if home == name),
    )
    _refuse(assembly, _rule_faults(settings))
    return settings


def _refuse(assembly: Assembly, faults: Iterable[ModelError]) -> None:
    if found := [assembly.placed(fault) for fault in faults]:
        raise SettingsError(found)


def _shape_faults(assembly: Assembly) -> Iterator[ModelError]:
    if assembly.deployment is None:
        yield ModelError(DEPLOYMENT_KEY, "missing in the stack's file in stacks/")
    else:
        yield from shape.faults(assembly.deployment, Deployment, DEPLOYMENT_KEY)
    if assembly.lab is not None:
        yield from shape.faults(assembly.lab, LabSettings, LAB_KEY)


def _rule_faults(settings: Settings) -> Iterator[ModelError]:
    for rules in (names, numbers, networks, aws, metal):
        yield from rules.check(settings.deployment, DEPLOYMENT_KEY)
    if settings.stack.role is not Role.WHOLE:
        yield from names.no_lab(settings.deployment, DEPLOYMENT_KEY)
    elif settings.deployment.aws is None and settings.lab is None:
        yield from metal.needs_control(settings.deployment, DEPLOYMENT_KEY)
    if settings.lab is not None:
        for fault in lab_settings.check(settings.lab, settings.deployment):
            yield ModelError(f"{LAB_KEY}.{fault.path}", fault.reason)
