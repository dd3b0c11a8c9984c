"""Where the control plane runs: a VPC of its own, a host in each zone, and a load balancer.

The balancer hands TCP on as it is, so that TLS ends at the API and nodes prove who they are
to it. Its security group is a list of those who may speak to the API: operators' networks,
and the list of nodes (regions add theirs).
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from anycastle.model.aws import Aws
from anycastle.model.deployment import Deployment
from components.aws import documents, plan, security, texts
from components.aws.entry_nlb import limited
from components.aws.hosts import CloudHost, CloudHostArgs, Machine
from components.aws.keys import Keys
from components.aws.network import Network, NetworkArgs
from components.aws.regional import Regional, child
from components.aws.security import Group, GroupArgs, Rule, ingress_from
from components.host import Host
from components.ssh_keys import SshKey

VOLUME = 16
"""GiB of an API host: the database is elsewhere."""
CALLERS_STEP = 20
CHECK_INTERVAL = 10
CHECKS = 2
"""In a row, before a host is in or out."""


@dataclass(frozen=True, kw_only=True)
class ApiHostsArgs:
    regional: Regional
    deployment: Deployment
    keys: Keys
    login: SshKey


class ApiHosts(pulumi.ComponentResource):
    """hosts: one per zone. network: with private subnets for the database.

    group: id of the security group of the hosts. callers: of the prefix list of those whom
    the load balancer lets in beside the sources in settings.
    reachable: what depends on the API's name leading to the hosts.
    """

    hosts: list[Host]
    network: Network
    group: pulumi.Output[str]
    callers: pulumi.Output[str]
    reachable: Sequence[pulumi.Resource]

    def __init__(
        self, name: str, args: ApiHostsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:ApiHosts", name, None, opts)
        self._name, self._args, self._settings = name, args, args.regional.settings
        control = self._settings.control
        self.network = Network(
            name,
            NetworkArgs(
                regional=args.regional,
                network=control.network,
                zones=control.zones,
                flow_log_days=control.flow_log_days,
                key=args.keys.arn,
            ),
            child(self),
        )
        front = self._group("api", "clients of the API", list(callers(args.deployment)))
        hosts = self._group("hosts", "hosts of the API", list(host_rules(self._settings)))
        self._let_in(front, hosts)
        made = [self._host(i, zone, hosts) for i, zone in enumerate(control.zones, 1)]
        self.hosts = [one.host for one in made]
        self.group, self.callers = hosts.group.id, self._callers(front)
        self.reachable = self._reachable(front, made)
        self.register_outputs({"hosts": [host.name for host in self.hosts]})

    def _group(self, what: str, description: str, rules: list[Rule]) -> Group:
        args = GroupArgs(
            regional=self._args.regional,
            vpc=self.network.vpc,
            description=description,
            rules=rules,
        )
        return Group(f"{self._name}/{what}", args, child(self))

    def _callers(self, front: Group) -> pulumi.Output[str]:
        """A list to which regions add their nodes' addresses: so the source of the rule has a
        name, and a region touches no security group of another stack."""
        name, regional = f"{self._name}/api/nodes", self._args.regional
        nodes = aws.ec2.ManagedPrefixList(
            name,
            name=plan.name(regional.deployment, "nodes"),
            address_family="IPv4",
            max_entries=room(self._args.deployment),
            tags=regional.tags(name),
            opts=child(self),
        )
        aws.vpc.SecurityGroupIngressRule(
            name,
            security_group_id=front.group.id,
            description="API: nodes in AWS",
            prefix_list_id=nodes.id,
            ip_protocol="tcp",
            from_port=self._port,
            to_port=self._port,
            tags=regional.tags(name),
            opts=child(self),
        )
        return nodes.id

    def _let_in(self, front: Group, hosts: Group) -> None:
        name = f"{self._name}/hosts/api"
        ingress_from(
            name,
            hosts.group.id,
            front.group.id,
            self._port,
            "the API, from its load balancer",
            tags=self._args.regional.tags(name),
            opts=child(self),
        )

    def _host(self, index: int, zone: str, group: Group) -> CloudHost:
        args, settings, control = self._args, self._settings, self._settings.control
        name = f"{self._name}-{index}"
        regional = args.regional
        return CloudHost(
            name,
            CloudHostArgs(
                regional=regional,
                kind="control",
                place="",
                machine=Machine(
                    image=control.image,
                    instance_type=control.instance_type,
                    zone=zone,
                    address=None,
                    volume=VOLUME,
                    packages=texts.CONTROL_PACKAGES,
                ),
                subnet=self.network.subnet_of(zone),
                group=group.group,
                policy=args.keys.arn.apply(
                    lambda key: documents.control_policy(
                        regional.deployment, settings.account, regional.region, name, key
                    )
                ),
                login_key=args.login.private_key,
                login_public_key=args.login.public_key,
                key=args.keys.alias,
            ),
            child(self),
        )

    def _reachable(self, group: Group, hosts: list[CloudHost]) -> list[pulumi.Resource]:
        name, tags = self._name, self._args.regional.tags
        balancer = self._balancer(group)
        targets = self._targets()
        listener = aws.lb.Listener(
            f"{name}/api",
            load_balancer_arn=balancer.arn,
            port=self._port,
            protocol="TCP",
            default_actions=[{"type": "forward", "target_group_arn": targets.arn}],
            tags=tags(f"{name}/api"),
            opts=child(self),
        )
        attached = [
            aws.lb.TargetGroupAttachment(
                f"{one.host.name}/target",
                target_group_arn=targets.arn,
                target_id=one.instance.id,
                port=self._port,
                opts=child(self),
            )
            for one in hosts
        ]
        return [listener, *attached, *self._records(balancer)]

    def _balancer(self, group: Group) -> aws.lb.LoadBalancer:
        name, regional = f"{self._name}/api", self._args.regional
        return aws.lb.LoadBalancer(
            name,
            name=limited(regional.deployment, "api"),
            load_balancer_type="network",
            internal=False,
            subnets=[subnet.id for subnet in self.network.public],
            security_groups=[group.group.id],
            # Hosts are few: a zone whose host is away still answers, through another's.
            enable_cross_zone_load_balancing=True,
            enable_deletion_protection=False,
            tags=regional.tags(name),
            opts=child(self, depends_on=[self.network.gateway]),
        )

    def _targets(self) -> aws.lb.TargetGroup:
        name, regional = f"{self._name}/api", self._args.regional
        return aws.lb.TargetGroup(
            name,
            name=limited(regional.deployment, "api", str(self._port)),
            vpc_id=self.network.vpc.id,
            port=self._port,
            protocol="TCP",
            target_type="instance",
            preserve_client_ip="true",
            # Whether it takes connections: NLB's checks by HTTPS can't do TLS 1.3, and
            # the API asks for it.
            health_check={
                "enabled": True,
                "protocol": "TCP",
                "port": "traffic-port",
                "interval": CHECK_INTERVAL,
                "healthy_threshold": CHECKS,
                "unhealthy_threshold": CHECKS,
            },
            # Feeds are connections for days: agents of a host that leaves connect anew.
            deregistration_delay=10,
            connection_termination=True,
            tags=regional.tags(name),
            opts=child(self),
        )

    def _records(self, balancer: aws.lb.LoadBalancer) -> list[pulumi.Resource]:
        """The API's names, where their zone is ours to write."""
        zone = self._settings.control.hosted_zone
        if not zone:
            return []
        return [
            aws.route53.Record(
                f"{self._name}/{known}",
                zone_id=zone,
                name=known,
                type="A",
                aliases=[
                    {
                        "name": balancer.dns_name,
                        "zone_id": balancer.zone_id,
                        "evaluate_target_health": True,
                    }
                ],
                opts=child(self),
            )
            for known in self._args.deployment.control_plane.names
        ]

    @property
    def _port(self) -> int:
        return self._args.deployment.control_plane.port


def host_rules(settings: Aws) -> Iterator[Rule]:
    """What reaches API hosts beside the load balancer."""
    yield security.path_mtu()
    yield from security.ssh(settings)


def room(deployment: Deployment) -> int:
    """Entries of the list of nodes, in steps, so that not each node changes it. AWS counts
    all of them as rules of the security group (60 without a request). Pure."""
    nodes = sum(len(dc.nodes) for dc in deployment.datacentres if dc.aws is not None)
    return max(1, math.ceil(nodes / CALLERS_STEP)) * CALLERS_STEP


def callers(deployment: Deployment) -> Iterator[Rule]:
    """Who may speak to the API, of those whose addresses settings know: operators, and hosts
    of one's own (nodes in AWS have theirs when they are made). A host that is given by
    name has to come from an operator's network."""
    assert deployment.aws is not None
    port = deployment.control_plane.port
    for network in deployment.aws.ssh.ranges:
        yield security.one_port(
            f"operators/{str(network).replace('/', '_')}", "tcp", port, network, "API: operators"
        )
    for datacentre in deployment.datacentres:
        hosts = datacentre.metal.hosts if datacentre.metal is not None else {}
        for node, host in sorted(hosts.items()):
            if _is_ipv4(host.address):
                source = f"{host.address}/32"
                yield security.one_port(f"node/{node}", "tcp", port, source, f"API: {node}")
    yield security.path_mtu()


def _is_ipv4(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 4
    except ValueError:
        return False
