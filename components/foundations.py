"""Makes what all datacentres of a deployment share, or reads it from the stack that did.

Where the deployment has a part in AWS, `components.aws` makes it there; else it stands on a
host of a world (a lab's, or one that exists).
"""

from __future__ import annotations

import pulumi

from components.control_plane import ControlPlane, ControlPlaneArgs
from components.foundation import Foundation
from components.host import Host
from components.references import stack_reference, told
from components.secrets import DeploymentSecrets, DeploymentSecretsArgs
from components.settings import Settings
from components.worlds import Worlds
from tools import bundle


def make(settings: Settings, worlds: Worlds) -> Foundation:
    """The foundation of the running stack, as its role and its settings have it."""
    if settings.deployment.aws is not None:
        from components.aws import foundation  # noqa: PLC0415 a lab does not wait for the SDK

        return foundation.make(settings) if settings.has_foundation else foundation.read(settings)
    if not settings.has_foundation:
        return read(settings)
    return on_host(settings, worlds.control)


def on_host(settings: Settings, host: Host) -> Foundation:
    """Control plane, database and certificate authority on one host."""
    deployment = settings.deployment
    secrets = DeploymentSecrets("secrets", DeploymentSecretsArgs(deployment=deployment.name))
    control = ControlPlane(
        host.name,
        ControlPlaneArgs(
            hosts=[host],
            address=host.address,
            deployment=deployment,
            secrets=secrets,
            bundle=bundle.build("control"),
        ),
    )
    return Foundation(
        url=control.url,
        authority=secrets.authority.certificate,
        operator=pulumi.Output.secret(secrets.operator.secret),
        service_key=pulumi.Output.secret(secrets.service_key.private_key),
        ready=[control.operable],
        control=control,
        secrets=secrets,
    )


def read(settings: Settings) -> Foundation:
    """What the global stack exported (`components.outputs`)."""
    return of_stack(settings.stack.reads, global_stack(settings))


def global_stack(settings: Settings) -> pulumi.StackReference:
    """The stack that a region reads."""
    return stack_reference(settings.stack.reads)


def of_stack(name: str, stack: pulumi.StackReference) -> Foundation:
    """A foundation out of a global stack's outputs, without what only AWS has."""
    return Foundation(
        url=told(name, stack, "api"),
        authority=told(name, stack, "control_ca"),
        operator=pulumi.Output.secret(told(name, stack, "operator_token")),
        service_key=pulumi.Output.secret(told(name, stack, "service_key")),
    )
