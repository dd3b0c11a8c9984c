"""A host in AWS: an instance with a role of its own, a public address, and a known host key."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Address

import pulumi
import pulumi_aws as aws
from pulumi_command import remote

from anycastle.model.aws import Jump
from components import commands
from components.aws import documents, plan, texts
from components.aws.regional import Regional, child
from components.host import Host
from components.ssh_keys import SshKey


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What an instance is made from. volume: GiB.

    address: the private one, which another instance can't have at the same time; None
    for AWS's choice. Where it is AWS's, the machine is made anew for another type, too,
    instead of being stopped.
    placement: name of a placement group, None for none.
    """

    image: str
    instance_type: str
    zone: str
    address: IPv4Address | None
    volume: int
    packages: tuple[str, ...]
    placement: pulumi.Input[str] | None = None


@dataclass(frozen=True, kw_only=True)
class CloudHostArgs:
    """kind, place: as a `Host` has them. policy: of the host's role.

    login_key, login_public_key: what bootstrap logs in with.
    key: alias of the KMS key of its secrets, where the same stack makes that key.
    before_address: makes what has to be done before the public address goes from an old
    instance to a new one, which has been made by then.
    """

    regional: Regional
    kind: str
    place: str
    machine: Machine
    subnet: aws.ec2.Subnet
    group: aws.ec2.SecurityGroup
    policy: pulumi.Input[str]
    login_key: pulumi.Input[str]
    login_public_key: pulumi.Input[str]
    key: pulumi.Input[str] | None = None
    before_address: Callable[[CloudHost], Sequence[pulumi.Resource]] = lambda _: ()


class CloudHost(pulumi.ComponentResource):
    """host: for bootstrap. instance; address: the public one, which outlives instances."""

    host: Host
    instance: aws.ec2.Instance
    address: pulumi.Output[str]

    def __init__(
        self, name: str, args: CloudHostArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:Host", name, None, opts)
        self._name = name
        self._args = args
        self._tags = args.regional.tags
        key, published = self._host_key()
        elastic = aws.ec2.Eip(
            f"{name}/address", domain="vpc", tags=self._tags(f"{name}/address"), opts=child(self)
        )
        self.address = elastic.public_ip
        # After the address, and so deleted before it: no address in use can be released.
        self.instance = self._instance(self._profile(), [published, elastic])
        associated = self._associate(elastic, list(args.before_address(self)))
        self.host = self._bootable(key, associated)
        self.register_outputs({"address": self.address})

    def _associate(
        self, elastic: aws.ec2.Eip, before: list[pulumi.Resource]
    ) -> aws.ec2.EipAssociation:
        """It ends with the instance: until then whoever leaves in peace can be reached."""
        return aws.ec2.EipAssociation(
            f"{self._name}/address",
            allocation_id=elastic.id,
            instance_id=self.instance.id,
            opts=pulumi.ResourceOptions(parent=self, depends_on=before, deleted_with=self.instance),
        )

    def _host_key(self) -> tuple[SshKey, pulumi.Resource]:
        """The key that the host will be known by, where the host will look for it."""
        name, regional, alias = f"{self._name}/host-key", self._args.regional, self._args.key
        key = SshKey(name, pulumi.ResourceOptions(parent=self))
        secret = aws.secretsmanager.Secret(
            name,
            name=plan.host_key_name(regional.deployment, self._name),
            description=f"SSH host key of {self._name}",
            kms_key_id=plan.key_alias(regional.deployment) if alias is None else alias,
            recovery_window_in_days=0,
            tags=self._tags(name),
            opts=child(self),
        )
        private: pulumi.Output[str] = pulumi.Output.secret(key.private_key)
        version = aws.secretsmanager.SecretVersion(
            name,
            secret_id=secret.id,
            secret_string=private,
            opts=child(self),
        )
        return key, version

    def _profile(self) -> aws.iam.InstanceProfile:
        name = self._name
        known = plan.name(self._args.regional.deployment, name)
        role = aws.iam.Role(
            f"{name}/role",
            name=known,
            assume_role_policy=documents.trust("ec2.amazonaws.com"),
            tags=self._tags(f"{name}/role"),
            opts=child(self),
        )
        self._policy = aws.iam.RolePolicy(
            f"{name}/role", role=role.name, policy=self._args.policy, opts=child(self)
        )
        return aws.iam.InstanceProfile(
            f"{name}/role",
            name=known,
            role=role.name,
            tags=self._tags(f"{name}/role"),
            opts=child(self),
        )

    def _instance(
        self, profile: aws.iam.InstanceProfile, needs: list[pulumi.Resource]
    ) -> aws.ec2.Instance:
        args, machine, name = self._args, self._args.machine, self._name
        secret = plan.host_key_name(args.regional.deployment, name)
        return aws.ec2.Instance(
            name,
            ami=machine.image,
            instance_type=machine.instance_type,
            availability_zone=machine.zone,
            subnet_id=args.subnet.id,
            private_ip=str(machine.address) if machine.address else None,
            # Until the lasting address is there: cloud-init fetches packages at once.
            associate_public_ip_address=True,
            source_dest_check=False,
            vpc_security_group_ids=[args.group.id],
            iam_instance_profile=profile.name,
            placement_group=machine.placement,
            metadata_options={
                "http_endpoint": "enabled",
                "http_tokens": "required",
                "http_put_response_hop_limit": 1,
            },
            root_block_device={
                "encrypted": True,
                "volume_type": "gp3",
                "volume_size": machine.volume,
                "delete_on_termination": True,
                "tags": self._tags(name),
            },
            instance_initiated_shutdown_behavior="stop",
            user_data=pulumi.Output.from_input(args.login_public_key).apply(
                lambda key: texts.user_data(
                    name, key, secret, args.regional.region, machine.packages
                )
            ),
            tags=self._tags(name),
            opts=pulumi.ResourceOptions(
                parent=self,
                depends_on=[*needs, self._policy],
                # cloud-init runs at the first boot alone: another text is the next instance's.
                ignore_changes=["userData", "associatePublicIpAddress"],
                replace_on_changes=[] if machine.address else ["instanceType"],
            ),
        )

    def _bootable(self, key: SshKey, associated: pulumi.Resource) -> Host:
        """With packages installed: bootstrap starts there."""
        args, jump = self._args, self._args.regional.settings.ssh.jump
        host = Host(
            name=self._name,
            kind=args.kind,
            place=args.place,
            resource=self.instance,
            address=self.instance.private_ip if jump else self.address,
            host_key=key.public_key,
            private_key=args.login_key,
            incarnation=self.instance.id,
            proxy=proxy(jump, args.login_key) if jump else None,
            booted=(associated,),
        )
        prepared = commands.run(
            host,
            "prepared",
            "prepared",
            {"PACKAGES": " ".join(args.machine.packages)},
            parent=self,
        )
        return replace(host, booted=(*host.booted, prepared))


def proxy(jump: Jump, key: pulumi.Input[str]) -> remote.ProxyConnectionArgs:
    """The host to go through; the deployment's log-in key has to be authorised on it."""
    return remote.ProxyConnectionArgs(
        host=jump.address,
        port=jump.port,
        user=jump.user,
        host_key=jump.host_key,
        private_key=key,
        dial_error_limit=10,
        per_dial_timeout=5,
    )
