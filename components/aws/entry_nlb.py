"""The NLB in front of a region's nodes: UDP, a client stays with its node, and with its address.

What bites there, and what is set against it:

idle flows       the NLB forgets a UDP flow after 120 s: a client's keepalive (25 s) is shorter.
one client       stickiness `source_ip` holds all flows of an address on one node.
dead nodes       the agent's own /readyz decides, asked every 5 s, twice wrong is out. A flow to
                 a node that left is ended at once (no deregistration delay), so that the
                 client's next packet goes to another. `target_health_states` is not set: it
                 is for TCP and TLS alone.
client's address kept, which in front of an accelerator needs a security group on the NLB.
zones            without cross-zone balancing each zone's address reaches that zone's nodes only:
                 no toll between zones, but a zone whose nodes all fail is lost to clients until
                 DNS or the accelerator notices; `cross_zone` chooses otherwise.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from ipaddress import IPv4Address

import pulumi
import pulumi_aws as aws

from anycastle.model.aws import AwsDatacentre
from components.aws.network import EVERYWHERE, Network
from components.aws.regional import Regional, child
from components.aws.security import AGENT_PORT, Group, GroupArgs, one_port, path_mtu
from components.naming import on

READY_PATH = "/readyz"
CHECK_INTERVAL = 5
"""Seconds; the shortest that there is."""
CHECK_TIMEOUT = 2
CHECKS = 2
"""In a row, before a node is in or out; the fewest that there are."""
NAME_LENGTH = 32
"""Characters of a load balancer's and a target group's name."""


@dataclass(frozen=True, kw_only=True)
class NlbArgs:
    """port: the service's. own: the region's settings.

    public: has addresses of its own, which last; else only an accelerator reaches it.
    """

    regional: Regional
    network: Network
    own: AwsDatacentre
    port: int
    public: bool


class Nlb(pulumi.ComponentResource):
    """arn: of the load balancer. addresses: its public ones, in the order of the zones.

    ready: there when packets are forwarded to targets.
    """

    arn: pulumi.Output[str]
    addresses: list[pulumi.Output[str]]
    ready: pulumi.Resource

    def __init__(
        self, name: str, args: NlbArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:Nlb", name, None, opts)
        self._name = name
        self._args = args
        self._tags = args.regional.tags
        allocations = self._allocations() if args.public else []
        balancer = self._balancer(allocations)
        self._targets = self._target_group()
        self.ready = aws.lb.Listener(
            f"{name}/listener",
            load_balancer_arn=balancer.arn,
            port=args.port,
            protocol="UDP",
            default_actions=[{"type": "forward", "target_group_arn": self._targets.arn}],
            tags=self._tags(f"{name}/listener"),
            opts=child(self),
        )
        self.arn = balancer.arn
        self.addresses = [allocation.public_ip for allocation in allocations]
        self.register_outputs({"arn": self.arn, "addresses": self.addresses})

    def attach(
        self, node: str, address: IPv4Address, parent: pulumi.Resource
    ) -> aws.lb.TargetGroupAttachment:
        """The resource `NODE/target`: clients may be sent to this address when it is ready."""
        return aws.lb.TargetGroupAttachment(
            on(node, "target"),
            target_group_arn=self._targets.arn,
            target_id=str(address),
            port=self._args.port,
            opts=self._args.regional.under(parent, [self.ready]),
        )

    def _allocations(self) -> list[aws.ec2.Eip]:
        """What clients are configured with: protected, as nobody gets an address back."""
        return [
            aws.ec2.Eip(
                f"{self._name}/{zone}",
                domain="vpc",
                tags=self._tags(f"{self._name}/{zone}"),
                opts=child(self, protect=True),
            )
            for zone in self._args.own.zones
        ]

    def _balancer(self, allocations: list[aws.ec2.Eip]) -> aws.lb.LoadBalancer:
        args, name = self._args, self._name
        rules = [one_port("wireguard", "udp", args.port, EVERYWHERE, "WireGuard clients")]
        group = Group(
            f"{name}/group",
            GroupArgs(
                regional=args.regional,
                vpc=args.network.vpc,
                description="WireGuard clients to the load balancer",
                rules=[*rules, path_mtu()],
            ),
            child(self),
        )
        subnets = [subnet.id for subnet in args.network.public]
        mappings = [
            {"subnet_id": subnet, "allocation_id": allocation.id}
            for subnet, allocation in zip(subnets, allocations, strict=False)
        ]
        return aws.lb.LoadBalancer(
            name,
            name=limited(*self._known()),
            load_balancer_type="network",
            internal=not args.public,
            subnet_mappings=mappings or None,
            subnets=None if mappings else subnets,
            security_groups=[group.group.id],
            enable_cross_zone_load_balancing=args.own.cross_zone,
            tags=self._tags(name),
            opts=child(self, depends_on=[args.network.gateway]),
        )

    def _known(self) -> list[str]:
        """Its name in AWS. A public one has another than an internal one: the new one is made
        beside the old one, and a target group belongs to one load balancer."""
        regional = self._args.regional
        return [regional.deployment, regional.place, *(["public"] if self._args.public else [])]

    def _target_group(self) -> aws.lb.TargetGroup:
        args, name = self._args, f"{self._name}/nodes"
        return aws.lb.TargetGroup(
            name,
            # The port is in the name: another one makes a new group beside the old.
            name=limited(*self._known(), str(args.port)),
            vpc_id=args.network.vpc.id,
            port=args.port,
            protocol="UDP",
            # Addresses are known beforehand, and so in previews; instances' ids are not.
            target_type="ip",
            preserve_client_ip="true",
            stickiness={"enabled": True, "type": "source_ip"},
            health_check={
                "enabled": True,
                "protocol": "HTTP",
                "port": str(AGENT_PORT),
                "path": READY_PATH,
                "matcher": "200",
                "interval": CHECK_INTERVAL,
                "timeout": CHECK_TIMEOUT,
                "healthy_threshold": CHECKS,
                "unhealthy_threshold": CHECKS,
            },
            deregistration_delay=0,
            connection_termination=True,
            tags=self._tags(name),
            opts=child(self),
        )


def limited(*parts: str) -> str:
    """A name of at most 32 characters, the same for the same parts. Pure.

    A longer one ends in a digest of all of it, so that no two long names meet.
    """
    name = "-".join(parts)
    if len(name) <= NAME_LENGTH:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:7]
    return f"{name[: NAME_LENGTH - 8].rstrip('-')}-{digest}"
