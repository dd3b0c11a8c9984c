"""Security groups: what may reach a host, each source by name.

The groups let everything out. Together with a rule that lets the service port in from
everywhere this makes flows *untracked*: they take no entry of the instance's connection
tracking, whose allowance is a few hundred thousand and silent when it is spent. AWS tracks
flows through an NLB or an accelerator in any case (docs/aws.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws

from anycastle.model.aws import Aws, AwsDatacentre, Entry
from anycastle.model.deployment import Deployment
from anycastle.model.node import FabricSpec
from components.aws.network import EVERYWHERE
from components.aws.regional import Regional, child

AGENT_PORT = 9178
BGP_PORT = 179
BFD_PORT = 3784
"""Single hop (RFC 5881)."""
ICMP_UNREACHABLE = 3
ICMP_TOO_BIG = 4
"""Type and code of "fragmentation needed": path MTU discovery (RFC 1191)."""


@dataclass(frozen=True)
class Rule:
    """One source that may come in. name: unique in its group. ports: first and last."""

    name: str
    protocol: str
    ports: tuple[int, int]
    source: str
    why: str


def one_port(name: str, protocol: str, port: int, source: object, why: str) -> Rule:
    return Rule(name, protocol, (port, port), str(source), why)


def path_mtu() -> Rule:
    return Rule("path-mtu", "icmp", (ICMP_UNREACHABLE, ICMP_TOO_BIG), EVERYWHERE, "path MTU")


def ssh(settings: Aws) -> Iterator[Rule]:
    """From the operators' networks, or nobody."""
    for source in settings.ssh.ranges:
        yield one_port(f"ssh/{_named(source)}", "tcp", 22, source, "SSH of operators")


def node_rules(deployment: Deployment, settings: Aws, own: AwsDatacentre) -> Iterator[Rule]:
    """What may reach the nodes of a region."""
    anycast = deployment.anycast.port
    yield one_port("wireguard", "udp", anycast, EVERYWHERE, "WireGuard clients")
    yield path_mtu()
    yield from ssh(settings)
    vxlan = FabricSpec().port
    for datacentre in deployment.datacentres:
        if datacentre.aws is not None:
            source = datacentre.aws.network
            yield one_port(f"fabric/{datacentre.name}", "udp", vxlan, source, "inter-node path")
    if any(datacentre.aws is None for datacentre in deployment.datacentres):
        # Nodes outside have their loopbacks as tunnel ends, over a private line or VPN.
        source = deployment.loopbacks.v4
        yield one_port("fabric/loopbacks", "udp", vxlan, source, "inter-node path")
    if own.entry is not Entry.ROUTE_SERVER:
        yield one_port("agent/vpc", "tcp", AGENT_PORT, own.network, "load balancer's health checks")
    for source in settings.monitoring:
        yield one_port(f"agent/{_named(source)}", "tcp", AGENT_PORT, source, "monitoring")
    if own.route_server is not None:
        yield one_port("bgp", "tcp", BGP_PORT, own.network, "BGP of the Route Server")
        yield one_port("bfd", "udp", BFD_PORT, own.network, "BFD of the Route Server")


def _named(network: IPv4Network) -> str:
    return str(network).replace("/", "_")


@dataclass(frozen=True, kw_only=True)
class GroupArgs:
    regional: Regional
    vpc: aws.ec2.Vpc
    description: str
    rules: Sequence[Rule]


class Group(pulumi.ComponentResource):
    """A security group with its rules, each a resource: one more touches no other."""

    group: aws.ec2.SecurityGroup

    def __init__(
        self, name: str, args: GroupArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:Group", name, None, opts)
        tags = args.regional.tags
        self.group = aws.ec2.SecurityGroup(
            name,
            description=args.description,
            vpc_id=args.vpc.id,
            tags=tags(name),
            opts=child(self),
        )
        for rule in args.rules:
            self._ingress(f"{name}/{rule.name}", rule, tags(f"{name}/{rule.name}"))
        aws.vpc.SecurityGroupEgressRule(
            f"{name}/out",
            security_group_id=self.group.id,
            description="everything; with it flows of the service port are not tracked",
            ip_protocol="-1",
            cidr_ipv4=EVERYWHERE,
            tags=tags(f"{name}/out"),
            opts=child(self),
        )
        self.register_outputs({"group": self.group.id})

    def _ingress(self, name: str, rule: Rule, tags: dict[str, str]) -> None:
        first, last = rule.ports
        aws.vpc.SecurityGroupIngressRule(
            name,
            security_group_id=self.group.id,
            description=rule.why,
            ip_protocol=rule.protocol,
            from_port=first,
            to_port=last,
            cidr_ipv4=rule.source,
            tags=tags,
            opts=child(self),
        )


def ingress_from(
    name: str,
    group: pulumi.Input[str],
    source: pulumi.Input[str],
    port: int,
    why: str,
    *,
    tags: dict[str, str],
    opts: pulumi.ResourceOptions,
) -> aws.vpc.SecurityGroupIngressRule:
    """A rule whose source is another group."""
    return aws.vpc.SecurityGroupIngressRule(
        name,
        security_group_id=group,
        referenced_security_group_id=source,
        description=why,
        ip_protocol="tcp",
        from_port=port,
        to_port=port,
        tags=tags,
        opts=opts,
    )
