"""The service key in Secrets Manager, with a replica in each region that has nodes.

The value is a secret in the stack's state, too: Pulumi made it, and clients can't be told of
another one. Nodes read the replica of their own region, with a role that reads nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.aws import plan
from components.aws.regional import Regional, child


@dataclass(frozen=True, kw_only=True)
class ServiceKeyArgs:
    """private_key: base64, a secret. key_arns: of the KMS key, by region, home included."""

    regional: Regional
    private_key: pulumi.Input[str]
    key_arns: Mapping[str, pulumi.Input[str]]


class ServiceKeySecret(pulumi.ComponentResource):
    """version: another one whenever the value is."""

    version: pulumi.Output[str]

    def __init__(
        self, name: str, args: ServiceKeyArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:ServiceKey", name, None, opts)
        regional = args.regional
        secret = aws.secretsmanager.Secret(
            name,
            name=plan.service_key_name(regional.deployment),
            description=f"WireGuard service key of {regional.deployment}",
            kms_key_id=args.key_arns[regional.region],
            replicas=[
                {"region": region, "kms_key_id": arn}
                for region, arn in args.key_arns.items()
                if region != regional.region
            ],
            tags=regional.tags(name),
            opts=child(self, protect=True),
        )
        version = aws.secretsmanager.SecretVersion(
            name,
            secret_id=secret.id,
            secret_string=pulumi.Output.secret(args.private_key),
            opts=child(self),
        )
        self.version = version.version_id
        self.register_outputs({"version": self.version})
