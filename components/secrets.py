"""What a deployment's trust rests on: service key, certificate authority, operator token.

Each is made once, on the machine that runs Pulumi, and lives in the stack's state as
a secret. Nothing but removing the resource, or replacing it on purpose, changes it.

The state holds a pickle of each provider, which is a reference to its class here: keep
this module's imports few, because the process that runs the providers has them all.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider

from components import keys

Properties = dict[str, Any]


class _MadeOnce(ResourceProvider):
    """A value that its first creation decides for good."""

    def diff(self, _id: str, _olds: Properties, _news: Properties) -> DiffResult:
        return DiffResult(changes=False)


class _ServiceKeyProvider(_MadeOnce):
    def create(self, _props: Properties) -> CreateResult:
        private = keys.private_key()
        public = keys.public_key(private).text
        return CreateResult(public, {"private_key": private.text, "public_key": public})


class _AuthorityProvider(_MadeOnce):
    def create(self, props: Properties) -> CreateResult:
        now = dt.datetime.now(dt.UTC)
        certificate, private = keys.certificate_authority(props["deployment"], now)
        return CreateResult(
            f"{props['deployment']}-ca",
            {
                "deployment": props["deployment"],
                "certificate": certificate,
                "private_key": private,
            },
        )

    def diff(self, _id: str, olds: Properties, news: Properties) -> DiffResult:
        renamed = olds["deployment"] != news["deployment"]
        return DiffResult(changes=renamed, replaces=["deployment"] if renamed else [])


class _TokenProvider(_MadeOnce):
    def create(self, _props: Properties) -> CreateResult:
        return CreateResult("operator-token", {"secret": keys.operator_token()})


class ServiceKey(Resource, module="anycastle", name="ServiceKey"):
    """The WireGuard identity that clients know. Keys in base64."""

    private_key: pulumi.Output[str]
    public_key: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        outputs = {"private_key": None, "public_key": None}
        super().__init__(_ServiceKeyProvider(), name, outputs, _secret(opts, "private_key"))


class CertificateAuthority(Resource, module="anycastle", name="CertificateAuthority"):
    """The deployment's CA. certificate, private_key: PEM."""

    certificate: pulumi.Output[str]
    private_key: pulumi.Output[str]

    def __init__(
        self, name: str, deployment: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        props = {"deployment": deployment, "certificate": None, "private_key": None}
        super().__init__(_AuthorityProvider(), name, props, _secret(opts, "private_key"))


class OperatorToken(Resource, module="anycastle", name="OperatorToken"):
    """The first operator's token, with the role `admin`."""

    secret: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(_TokenProvider(), name, {"secret": None}, _secret(opts, "secret"))


def _secret(opts: pulumi.ResourceOptions | None, *outputs: str) -> pulumi.ResourceOptions | None:
    return pulumi.ResourceOptions.merge(
        opts, pulumi.ResourceOptions(additional_secret_outputs=list(outputs))
    )


@dataclass(frozen=True, kw_only=True)
class DeploymentSecretsArgs:
    deployment: str


class DeploymentSecrets(pulumi.ComponentResource):
    """All secrets that belong to the deployment as a whole."""

    service_key: ServiceKey
    authority: CertificateAuthority
    operator: OperatorToken

    def __init__(
        self,
        name: str,
        args: DeploymentSecretsArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("anycastle:index:DeploymentSecrets", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.service_key = ServiceKey(f"{name}/service-key", child)
        self.authority = CertificateAuthority(f"{name}/authority", args.deployment, child)
        self.operator = OperatorToken(f"{name}/operator-token", child)
        self.register_outputs(
            {
                "service_public_key": self.service_key.public_key,
                "certificate": self.authority.certificate,
            }
        )
