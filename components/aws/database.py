"""The control plane's database: RDS for PostgreSQL in two zones.

Connections are encrypted or refused (`rds.force_ssl`), and hosts check the server's
certificate and name. The password is made once, is a secret in the stack's state and in
libpq's password file on the hosts, and is nowhere else: not in a connection string, not in
an output, not in a command line.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from anycastle.model.aws import Database as DatabaseSettings
from components.aws import plan
from components.aws.database_password import DatabasePassword
from components.aws.network import Network
from components.aws.regional import Regional, child
from components.aws.security import ingress_from
from components.control_plane import Database

PORT = 5432
NAME = "anycastle"
"""Of the database and of the role that it belongs to."""
STORAGE_GROWTH = 4
"""Storage grows by itself, up to this many times the setting."""


@dataclass(frozen=True, kw_only=True)
class RdsArgs:
    """key: ARN of the KMS key. hosts: security group of those that connect."""

    regional: Regional
    network: Network
    settings: DatabaseSettings
    key: pulumi.Input[str]
    hosts: pulumi.Input[str]


class Rds(pulumi.ComponentResource):
    """reached: how a control-plane host connects to it."""

    reached: Database

    def __init__(
        self, name: str, args: RdsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:Rds", name, None, opts)
        self._name, self._args, self._tags = name, args, args.regional.tags
        password = DatabasePassword(f"{name}/password", pulumi.ResourceOptions(parent=self))
        group = self._group()
        instance = self._instance(password.secret, group, self._parameters())
        region = args.regional.region
        self.reached = Database(
            script="database-rds",
            variables={
                "CERTIFICATES_URL": certificates_url(region),
                "PASSFILE": pulumi.Output.secret(
                    pulumi.Output.all(instance.address, password.secret).apply(
                        lambda known: passfile(*known)
                    )
                ),
            },
            connection=instance.address.apply(connection),
            secret=True,
        )
        self.register_outputs({"address": instance.address})

    def _group(self) -> aws.ec2.SecurityGroup:
        """The control plane's hosts may connect, and nobody else; it connects to nobody."""
        name = f"{self._name}/group"
        group = aws.ec2.SecurityGroup(
            name,
            description="Postgres from the control plane's hosts",
            vpc_id=self._args.network.vpc.id,
            tags=self._tags(name),
            opts=child(self),
        )
        ingress_from(
            f"{name}/postgres",
            group.id,
            self._args.hosts,
            PORT,
            "Postgres from the control plane's hosts",
            tags=self._tags(f"{name}/postgres"),
            opts=child(self),
        )
        return group

    def _parameters(self) -> aws.rds.ParameterGroup:
        major = self._args.settings.engine_version.partition(".")[0]
        return aws.rds.ParameterGroup(
            self._name,
            # A group is of one major version: an upgrade makes the next beside it.
            name=plan.name(self._args.regional.deployment, f"postgres{major}"),
            family=f"postgres{major}",
            description="TLS or nothing",
            parameters=[{"name": "rds.force_ssl", "value": "1", "apply_method": "pending-reboot"}],
            tags=self._tags(self._name),
            opts=child(self),
        )

    def _instance(
        self,
        password: pulumi.Output[str],
        group: aws.ec2.SecurityGroup,
        parameters: aws.rds.ParameterGroup,
    ) -> aws.rds.Instance:
        args, settings, known = self._args, self._args.settings, self._known()
        hidden: pulumi.Output[str] = pulumi.Output.secret(password)
        subnets = aws.rds.SubnetGroup(
            self._name,
            name=known,
            description="private subnets of the control plane",
            subnet_ids=[subnet.id for subnet in args.network.private],
            tags=self._tags(self._name),
            opts=child(self),
        )
        return aws.rds.Instance(
            self._name,
            identifier=known,
            engine="postgres",
            engine_version=settings.engine_version,
            instance_class=settings.instance_class,
            storage_type="gp3",
            allocated_storage=settings.storage,
            max_allocated_storage=settings.storage * STORAGE_GROWTH,
            storage_encrypted=True,
            kms_key_id=args.key,
            multi_az=True,
            db_name=NAME,
            username=NAME,
            password=hidden,
            port=PORT,
            publicly_accessible=False,
            db_subnet_group_name=subnets.name,
            vpc_security_group_ids=[group.id],
            parameter_group_name=parameters.name,
            auto_minor_version_upgrade=True,
            # The setting says which major version; it is not changed by itself.
            allow_major_version_upgrade=True,
            backup_retention_period=settings.backup_days,
            copy_tags_to_snapshot=True,
            delete_automated_backups=False,
            deletion_protection=True,
            skip_final_snapshot=False,
            final_snapshot_identifier=f"{known}-final",
            tags=self._tags(self._name),
            opts=child(self, protect=True),
        )

    def _known(self) -> str:
        return plan.name(self._args.regional.deployment, "control")


def certificates_url(region: str) -> str:
    """Where AWS publishes the certificates of a region's databases (RDS user guide, "Using
    SSL/TLS")."""
    return f"https://truststore.pki.rds.amazonaws.com/{region}/{region}-bundle.pem"


def connection(address: str) -> str:
    """libpq's connection string, without the password."""
    settings = {
        "host": address,
        "port": PORT,
        "dbname": NAME,
        "user": NAME,
        "passfile": "/etc/anycastle/pgpass",
        "sslmode": "verify-full",
        "sslrootcert": "/etc/anycastle/rds.pem",
    }
    return " ".join(f"{key}={value}" for key, value in settings.items())


def passfile(address: str, password: str) -> str:
    """A line of libpq's password file (postgresql.org, 34.16). Neither holds `:` or `\\`."""
    return f"{address}:{PORT}:{NAME}:{NAME}:{password}"
