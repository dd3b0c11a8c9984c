"""What the stack tells the world: the outputs that people, the CLI and tests read."""

from __future__ import annotations

from collections.abc import Iterable

import pulumi

from anycastle.model.deployment import Deployment
from components.control_plane import ControlPlane
from components.host import Host
from components.secrets import DeploymentSecrets


def export(
    deployment: Deployment,
    secrets: DeploymentSecrets,
    control_plane: ControlPlane,
    hosts: Iterable[Host],
) -> None:
    """deployment, anycast, hosts, api, control_ca, and operator_token (secret)."""
    pulumi.export("deployment", deployment.name)
    pulumi.export("anycast", [str(address) for address in deployment.anycast.addresses])
    pulumi.export("hosts", [host.inventory() for host in hosts])
    pulumi.export("api", control_plane.url)
    pulumi.export("control_ca", secrets.authority.certificate)
    pulumi.export("operator_token", pulumi.Output.secret(secrets.operator.secret))
