"""The control plane: the certificate authority and the API, on one host or on several.

The database is Postgres on the same host, or one elsewhere that all of them reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_command import remote

from anycastle.model.codec import Key
from anycastle.model.control import AuditBucket
from anycastle.model.deployment import Deployment
from components import commands
from components.bootstrap import Runtime, RuntimeArgs
from components.host import Host
from components.naming import on
from components.secrets import DeploymentSecrets
from components.specs import control_spec, document, url
from tools.bundle import Bundle

ANSWER_TIMEOUT = 30
"""Seconds for the API to answer after its start."""


@dataclass(frozen=True, kw_only=True)
class Database:
    """How a host comes by the database; by default one of its own.

    script, variables: what is run on each host. connection: libpq's connection string,
    without a password. secret: do the variables hold one?
    """

    script: str = "database"
    variables: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    connection: pulumi.Input[str] = "dbname=anycastle"
    secret: bool = False


@dataclass(frozen=True, kw_only=True)
class ControlPlaneArgs:
    """hosts: at least one; with a database of its own, no more. address: where operators
    reach the API, an address or a name. audit: where events are kept for good."""

    hosts: Sequence[Host]
    address: pulumi.Input[str]
    deployment: Deployment
    secrets: DeploymentSecrets
    bundle: Bundle
    database: Database = field(default_factory=Database)
    audit: pulumi.Input[AuditBucket] | None = None


class ControlPlane(pulumi.ComponentResource):
    """hosts: where it runs; host: the first of them. url: where operators reach it.

    ready: what depends on a running API, on each host. operable: what depends on the
    operator's token, too.
    spec: its configuration as text; whoever depends on what clients are told compares it.
    """

    hosts: tuple[Host, ...]
    host: Host
    url: pulumi.Output[str]
    spec: pulumi.Output[str]
    ready: pulumi.Resource
    operable: pulumi.Resource

    def __init__(
        self, name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:index:ControlPlane", name, None, opts)
        self.hosts = tuple(args.hosts)
        self.host = self.hosts[0]
        port = args.deployment.control_plane.port
        self.url = pulumi.Output.from_input(args.address).apply(lambda where: url(where, port))
        self.spec = pulumi.Output.all(
            args.secrets.service_key.public_key, args.address, args.database.connection, args.audit
        ).apply(lambda known: _spec(args.deployment, *known))
        before: list[pulumi.Resource] = []
        for host in self.hosts:
            self.ready = self._serve(host, args, [*self._foundations(host, args), *before])
            # One host after another: the others answer meanwhile, and a bad version stops here.
            before = [self.ready]
        self.operable = self._operator(args)
        self.register_outputs({"url": self.url})

    def _foundations(self, host: Host, args: ControlPlaneArgs) -> list[pulumi.Resource]:
        """Software beside the database, and the authority, which belongs to the database's user."""
        runtime = Runtime(
            on(host.name, "runtime"),
            RuntimeArgs(host=host, bundle=args.bundle),
            pulumi.ResourceOptions(parent=self),
        )
        database = commands.run(
            host,
            "database",
            args.database.script,
            args.database.variables,
            parent=self,
            secret=args.database.secret,
        )
        authority = commands.run(
            host,
            "authority",
            "authority",
            {
                "CERTIFICATE": args.secrets.authority.certificate,
                "PRIVATE_KEY": args.secrets.authority.private_key,
            },
            parent=self,
            delete="rm -f /etc/anycastle/ca.key /etc/anycastle/ca.pem",
            secret=True,
            depends_on=[database],
        )
        return [runtime.installed, authority]

    def _serve(
        self, host: Host, args: ControlPlaneArgs, needs: list[pulumi.Resource]
    ) -> remote.Command:
        port = args.deployment.control_plane.port
        return commands.run(
            host,
            "api",
            "control",
            {
                "VERSION": args.bundle.version,
                "TIMEOUT": str(ANSWER_TIMEOUT),
                "HEALTH_URL": f"{url('localhost', port)}/healthz",
                "CONTROL_SPEC": self.spec,
            },
            parent=self,
            delete="systemctl disable -q --now anycastle-control",
            depends_on=[*host.ready, *needs],
        )

    def _operator(self, args: ControlPlaneArgs) -> remote.Command:
        return commands.run(
            self.host,
            "operator",
            "operator",
            {"SECRET": args.secrets.operator.secret},
            parent=self,
            secret=True,
            depends_on=[self.ready],
        )


def _spec(
    deployment: Deployment,
    service_public_key: str,
    address: str,
    database: str,
    audit: AuditBucket | None,
) -> str:
    return document(
        control_spec(
            deployment,
            Key.from_text(service_public_key),
            address,
            database=database,
            audit=audit,
        )
    )
