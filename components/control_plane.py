"""The control plane: Postgres, the certificate authority and the API on one host."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
from pulumi_command import remote

from anycastle.model.codec import Key
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
class ControlPlaneArgs:
    host: Host
    deployment: Deployment
    secrets: DeploymentSecrets
    bundle: Bundle


class ControlPlane(pulumi.ComponentResource):
    """host: where it runs. url: where operators reach it.

    ready: what depends on a running API. operable: what depends on the operator's token, too.
    spec: its configuration as text; whoever depends on what clients are told compares it.
    """

    host: Host
    url: pulumi.Output[str]
    spec: pulumi.Output[str]
    ready: pulumi.Resource
    operable: pulumi.Resource

    def __init__(
        self, name: str, args: ControlPlaneArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:index:ControlPlane", name, None, opts)
        self.host = args.host
        port = args.deployment.control_plane.port
        self.url = pulumi.Output.from_input(args.host.address).apply(lambda host: url(host, port))
        self.spec = pulumi.Output.all(args.secrets.service_key.public_key, args.host.address).apply(
            lambda known: _spec(args.deployment, *known)
        )
        self.ready = self._serve(args, self._foundations(name, args))
        self.operable = self._operator(args)
        self.register_outputs({"url": self.url})

    def _foundations(self, name: str, args: ControlPlaneArgs) -> list[pulumi.Resource]:
        """Software beside the database, and the authority, which belongs to the database's user."""
        runtime = Runtime(
            on(name, "runtime"),
            RuntimeArgs(host=args.host, bundle=args.bundle),
            pulumi.ResourceOptions(parent=self),
        )
        database = commands.run(args.host, "database", "database", {}, parent=self)
        authority = commands.run(
            args.host,
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

    def _serve(self, args: ControlPlaneArgs, needs: list[pulumi.Resource]) -> remote.Command:
        port = args.deployment.control_plane.port
        return commands.run(
            args.host,
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
            depends_on=[*args.host.ready, *needs],
        )

    def _operator(self, args: ControlPlaneArgs) -> remote.Command:
        return commands.run(
            args.host,
            "operator",
            "operator",
            {"SECRET": args.secrets.operator.secret},
            parent=self,
            secret=True,
            depends_on=[self.ready],
        )


def _spec(deployment: Deployment, service_public_key: str, address: str) -> str:
    return document(control_spec(deployment, Key.from_text(service_public_key), address))
