"""What the stack tells the world: the outputs that people, the CLI, tests and other stacks read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import pulumi

from anycastle.model.codec import to_plain
from components.foundation import Foundation, Shared
from components.host import Host
from components.settings import Settings


def export(
    settings: Settings,
    foundation: Foundation,
    hosts: Iterable[Host],
    routers: Mapping[str, Mapping[str, str]],
) -> None:
    """deployment, anycast, settings, hosts, api, control_ca, and secrets: operator_token, and of a
    global stack service_key and, with a part in AWS, aws_* (`foundation.Shared`), which its
    regions read. datacentre: of a region, its name. routers: what edge routers that
    are not ours must be told, by router and syntax."""
    deployment = settings.deployment
    pulumi.export("deployment", deployment.name)
    pulumi.export("anycast", [str(address) for address in deployment.anycast.addresses])
    pulumi.export("settings", to_plain(deployment))
    pulumi.export("hosts", [host.inventory() for host in hosts])
    pulumi.export("api", foundation.url)
    pulumi.export("control_ca", foundation.authority)
    pulumi.export("operator_token", pulumi.Output.secret(foundation.operator))
    if not settings.has_foundation:
        pulumi.export("datacentre", settings.own[0])
    if settings.is_global:
        pulumi.export("service_key", pulumi.Output.secret(foundation.service_key))
    if settings.is_global and foundation.aws is not None:
        _export_shared(foundation.aws)
    if routers:
        pulumi.export("routers", {name: dict(texts) for name, texts in routers.items()})


AWS_PREFIX = "aws_"
"""Of the outputs that are fields of `foundation.Shared`."""


def _export_shared(shared: Shared) -> None:
    for name, value in vars(shared).items():
        pulumi.export(AWS_PREFIX + name, value)
