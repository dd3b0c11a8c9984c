"""What all datacentres of a deployment share, where a part of the deployment is in AWS.

make   keys, secrets, log-in key, database, API, audit trail, accelerator (roles whole, global)
read   the same, from the outputs of the stack that made it (role region)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pulumi

from anycastle.model.control import AuditBucket
from anycastle.model.deployment import Deployment
from components import commands, foundations, outputs
from components.aws.accelerator import Accelerator, AcceleratorArgs
from components.aws.audit import AuditArgs, AuditTrail
from components.aws.control import ApiHosts, ApiHostsArgs
from components.aws.database import Rds, RdsArgs
from components.aws.keys import Keys, KeysArgs
from components.aws.regional import child, regional
from components.aws.service_key import ServiceKeyArgs, ServiceKeySecret
from components.control_plane import ControlPlane, ControlPlaneArgs
from components.foundation import Foundation, Shared
from components.references import stack_reference, told
from components.secrets import DeploymentSecrets, DeploymentSecretsArgs
from components.settings import Settings
from components.ssh_keys import SshKey
from tools import bundle

PLACE = "global"
"""Tag of what belongs to no datacentre, and name of its provider."""


def make(settings: Settings) -> Foundation:
    """Everything that the datacentres share, in the home region."""
    deployment = settings.deployment
    secrets = DeploymentSecrets("secrets", DeploymentSecretsArgs(deployment=deployment.name))
    made = AwsFoundation("foundation", AwsFoundationArgs(deployment=deployment, secrets=secrets))
    return Foundation(
        url=made.control.url,
        authority=secrets.authority.certificate,
        operator=pulumi.Output.secret(secrets.operator.secret),
        service_key=pulumi.Output.secret(secrets.service_key.private_key),
        ready=made.ready,
        control=made.control,
        secrets=secrets,
        aws=made.shared,
        hosts=made.control.hosts,
    )


def read(settings: Settings) -> Foundation:
    """What the global stack exported (`components.outputs`). In a preview an output that is
    not there yet is unknown; otherwise it raises pulumi.RunError."""
    name, stack = settings.stack.reads, stack_reference(settings.stack.reads)

    def shared(field: str) -> pulumi.Output[str]:
        return told(name, stack, outputs.AWS_PREFIX + field)

    return replace(
        foundations.of_stack(name, stack),
        aws=Shared(
            login_key=pulumi.Output.secret(shared("login_key")),
            login_public_key=shared("login_public_key"),
            listener=shared("listener"),
            api_callers=shared("api_callers"),
            service_key_version=shared("service_key_version"),
            key_id=shared("key_id"),
        ),
    )


@dataclass(frozen=True, kw_only=True)
class AwsFoundationArgs:
    deployment: Deployment
    secrets: DeploymentSecrets


class AwsFoundation(pulumi.ComponentResource):
    """control: the API on its hosts. ready: what depends on its name leading to it, too.
    shared: what regions use of this."""

    control: ControlPlane
    ready: Sequence[pulumi.Resource]
    shared: Shared

    def __init__(
        self, name: str, args: AwsFoundationArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        settings = args.deployment.aws
        assert settings is not None
        self._args, self._settings = args, settings
        self._regional = regional(args.deployment.name, PLACE, settings.region, settings)
        provider = pulumi.ResourceOptions(providers=[self._regional.provider])
        super().__init__(
            "anycastle:aws:Foundation", name, None, pulumi.ResourceOptions.merge(opts, provider)
        )
        keys = self._keys()
        login = SshKey("login-key", pulumi.ResourceOptions(parent=self))
        api = ApiHosts(
            "control",
            ApiHostsArgs(
                regional=self._regional, deployment=args.deployment, keys=keys, login=login
            ),
            child(self),
        )
        audit = self._audit(keys)
        self.control = self._control(api, self._database(api, keys), audit, keys)
        self._export_events(audit)
        self.ready = [self.control.operable, *api.reachable]
        service_key = ServiceKeySecret(
            "service-key",
            ServiceKeyArgs(
                regional=self._regional,
                private_key=args.secrets.service_key.private_key,
                key_arns=keys.arns,
            ),
            child(self),
        )
        self.shared = Shared(
            login_key=pulumi.Output.secret(login.private_key),
            login_public_key=login.public_key,
            listener=self._listener(),
            api_callers=api.callers,
            service_key_version=service_key.version,
            key_id=keys.key_id,
        )
        self.register_outputs({"url": self.control.url})

    def _keys(self) -> Keys:
        home = self._settings.region
        return Keys(
            "key",
            KeysArgs(regional=self._regional, others=other_regions(self._args.deployment, home)),
            child(self),
        )

    def _audit(self, keys: Keys) -> AuditTrail:
        args = AuditArgs(regional=self._regional, settings=self._settings.audit, key=keys.arn)
        return AuditTrail("audit", args, child(self))

    def _database(self, api: ApiHosts, keys: Keys) -> Rds:
        args = RdsArgs(
            regional=self._regional,
            network=api.network,
            settings=self._settings.control.database,
            key=keys.arn,
            hosts=api.group,
        )
        return Rds("database", args, child(self))

    def _control(self, api: ApiHosts, database: Rds, audit: AuditTrail, keys: Keys) -> ControlPlane:
        deployment, kept = self._args.deployment, self._settings.audit
        return ControlPlane(
            "control",
            ControlPlaneArgs(
                hosts=api.hosts,
                address=deployment.control_plane.names[0],
                deployment=deployment,
                secrets=self._args.secrets,
                bundle=bundle.build("control", cloud="aws"),
                database=database.reached,
                audit=keys.arn.apply(
                    lambda key: AuditBucket(
                        name=audit.bucket,
                        region=self._settings.region,
                        kms_key=key,
                        retention_days=kept.retention_days,
                        mode=kept.mode,
                    )
                ),
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _export_events(self, audit: AuditTrail) -> None:
        """On each host; whoever is first exports, and the other finds nothing to do."""
        for host in self.control.hosts:
            commands.run(
                host,
                "audit-export",
                "audit-export",
                {"ARCHIVE": audit.bucket},
                parent=self.control,
                delete="systemctl disable -q --now anycastle-export.timer",
                depends_on=[self.control.ready, *audit.ready],
            )

    def _listener(self) -> pulumi.Output[str]:
        """ARN of the accelerator's listener, "" without an accelerator."""
        wanted = self._settings.accelerator
        if wanted is None:
            return pulumi.Output.from_input("")
        accelerator = Accelerator(
            "accelerator",
            AcceleratorArgs(
                regional=self._regional, anycast=self._args.deployment.anycast, byoip=wanted.byoip
            ),
            child(self),
        )
        pulumi.export("accelerator", accelerator.addresses)
        return accelerator.listener


def other_regions(deployment: Deployment, home: str) -> list[str]:
    """Regions of datacentres beside the home region, sorted. Pure."""
    used = {datacentre.aws.region for datacentre in deployment.datacentres if datacentre.aws}
    return sorted(used - {home})
