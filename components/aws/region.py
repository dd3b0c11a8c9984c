"""Datacentres in AWS: one VPC per region, its entry, and hosts for nodes.

AwsWorld      peering between regions, and what other stacks are told of these
AwsRegion     network, entry and Route Server (child of the datacentre)
  node()      a node's host, after everything that it is reached by
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import pulumi

from anycastle.model.aws import AwsDatacentre, Entry
from anycastle.model.deployment import Datacentre, Deployment, Node
from components import commands
from components.attachment import Attachment
from components.aws import documents, nodes, plan, security
from components.aws.entry_accelerator import endpoint_group
from components.aws.entry_nlb import Nlb, NlbArgs
from components.aws.hosts import CloudHost, CloudHostArgs
from components.aws.interconnect import Interconnect, InterconnectArgs, Side, earlier
from components.aws.network import Network, NetworkArgs
from components.aws.regional import Regional, child, regional
from components.aws.route_server import RouteServer, RouteServerArgs
from components.aws.security import Group, GroupArgs
from components.foundation import Foundation
from components.host import Host
from components.references import stack_reference, told
from components.settings import Settings

NETWORKS = "networks"
"""Stack output: datacentre -> ids of its VPC and of its nodes' route table."""
MACHINES = "machines"
"""Stack output: node -> its instance type, which AWS stops it to change (`previous`)."""
ENTRIES = "entries"
"""Stack output: datacentre -> the public addresses of its load balancer."""


class AwsWorld:
    """The regions of this stack. It makes no host of its own, and has no clients."""

    clients: Sequence[Host]
    hosts: Sequence[Host]

    def __init__(self, settings: Settings) -> None:
        self.clients = ()
        self.hosts = ()
        self._settings = settings
        self._made: dict[str, AwsRegion] = {}
        self._references: dict[str, pulumi.StackReference] = {}

    def datacentre(
        self, datacentre: Datacentre, foundation: Foundation, parent: pulumi.Resource
    ) -> AwsRegion:
        """Everything of a region beside its nodes."""
        deployment = self._settings.deployment
        args = AwsRegionArgs(deployment=deployment, datacentre=datacentre, foundation=foundation)
        opts = pulumi.ResourceOptions(parent=parent)
        made = AwsRegion(f"{datacentre.name}-region", args, opts)
        self._made[datacentre.name] = made
        self._connect(datacentre)
        pulumi.export(NETWORKS, {name: one.ids for name, one in self._made.items()})
        pulumi.export(MACHINES, self._machines())
        entries = {name: one.addresses for name, one in self._made.items() if one.addresses}
        if entries:
            pulumi.export(ENTRIES, entries)
        return made

    def _machines(self) -> dict[str, str]:
        return {
            node.name: plan.instance_type(found.aws, node)
            for found in self._settings.deployment.datacentres
            if found.name in self._made and found.aws is not None
            for node in found.nodes
        }

    def _connect(self, datacentre: Datacentre) -> None:
        """Peering of every two regions whose second one has just come."""
        deployment, here = self._settings.deployment, self._settings.own
        for other in earlier(deployment, datacentre):
            if other.name in self._made or other.name not in here:
                self._peer(datacentre, other)
        for later in deployment.datacentres:
            if later.name in self._made and datacentre in earlier(deployment, later):
                self._peer(later, datacentre)

    def _peer(self, near: Datacentre, far: Datacentre) -> None:
        region = self._made[near.name]
        Interconnect(
            f"{near.name}/peering/{far.name}",
            InterconnectArgs(regional=region.regional, near=region.side, far=self._side(far)),
            child(region),
        )

    def _side(self, datacentre: Datacentre) -> Side:
        """A region of this stack, or of another one."""
        if datacentre.name in self._made:
            return self._made[datacentre.name].side
        stack = self._settings.homes[datacentre.name]
        if stack not in self._references:
            self._references[stack] = stack_reference(stack)
        networks = told(stack, self._references[stack], NETWORKS)
        ids = networks.apply(lambda found: found[datacentre.name])
        assert datacentre.aws is not None
        return Side(
            region=datacentre.aws.region,
            network=datacentre.aws.network,
            vpc=ids.apply(lambda found: found["vpc"]),
            table=ids.apply(lambda found: found["table"]),
        )


@dataclass(frozen=True, kw_only=True)
class AwsRegionArgs:
    deployment: Deployment
    datacentre: Datacentre
    foundation: Foundation


class AwsRegion(pulumi.ComponentResource):
    """hosts: none beside the nodes. routers: none that are not AWS's own.

    addresses: the load balancer's public ones. side: the VPC, as other regions see it.
    """

    hosts: Sequence[Host]
    routers: Mapping[str, Mapping[str, str]]
    regional: Regional
    addresses: Sequence[pulumi.Output[str]]
    side: Side

    def __init__(
        self, name: str, args: AwsRegionArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        own, settings = args.datacentre.aws, args.deployment.aws
        assert own is not None
        assert settings is not None
        place = args.datacentre.name
        self.regional = regional(args.deployment.name, place, own.region, settings)
        provider = pulumi.ResourceOptions(providers=[self.regional.provider])
        super().__init__(
            "anycastle:aws:Region", name, None, pulumi.ResourceOptions.merge(opts, provider)
        )
        self.hosts, self.routers = (), {}
        self._args = args
        self._own: AwsDatacentre = own
        self._admission = nodes.Admission(
            deployment=args.deployment,
            foundation=args.foundation,
            regional=self.regional,
            key=self._key(args.foundation),
        )
        self._network = self._make_network()
        self._group = self._make_group()
        self._spread = nodes.Spread(self.regional, own, self)
        self._balancer = self._make_entry()
        self._route_server = self._make_route_server()
        self._tokens: dict[str, pulumi.Output[str]] = {}
        self._members: list[pulumi.Resource] = []
        self.addresses = self._balancer.addresses if self._balancer else []
        self.side = Side(
            region=own.region,
            network=own.network,
            vpc=self._network.vpc.id,
            table=self._network.tables["public"].id,
        )
        self.register_outputs({"addresses": self.addresses})

    @property
    def ids(self) -> dict[str, pulumi.Input[str]]:
        return {"vpc": self.side.vpc, "table": self.side.table}

    def node(self, node: Node, parent: pulumi.Resource) -> Host:
        """A node's host, ready when the API, the entry and the Route Server expect it."""
        name, address = node.name, plan.node_address(self._own, node)
        expecting: list[pulumi.Resource] = []
        if self._balancer is not None:
            expecting.append(self._balancer.attach(name, address, parent))
        if self._route_server is not None:
            expecting += self._route_server.peers(name, node.zone, address, parent)

        def admit(host: CloudHost) -> Sequence[pulumi.Resource]:
            expecting.append(self._admission.let_in(name, host.address, parent))
            before = self._members[-1:]
            member = self._admission.member(name, host, [*expecting, *before], parent)
            self._members.append(member)
            version = self._admission.join_secret(name, member, parent)
            self._tokens[name] = version.version_id
            return [member, version]

        made = CloudHost(name, self._host_args(node, admit), self.regional.under(parent))
        return replace(made.host, ready=tuple(expecting))

    def attachment(self, node: Node) -> pulumi.Input[Attachment]:
        """Known at once, unless there are endpoints whose addresses AWS chooses."""
        deployment, datacentre = self._args.deployment, self._args.datacentre
        if self._route_server is None:
            return nodes.attachment(deployment, datacentre, node)
        return self._route_server.edges(node.zone, plan.node_address(self._own, node)).apply(
            lambda edges: nodes.attachment(deployment, datacentre, node, edges)
        )

    def admit(
        self, node: Node, host: Host, installed: pulumi.Resource, parent: pulumi.Resource
    ) -> pulumi.Resource:
        """The resource `HOST/secrets`: the node reads its own ones, with its instance's role."""
        deployment, regional = self._args.deployment, self.regional
        known = nodes.secrets(deployment, regional.settings.account, regional.region, node)
        versions = pulumi.Output.all(
            self._admission.shared.service_key_version, self._tokens[node.name]
        )
        return commands.run(
            host,
            "secrets",
            "node-secrets-aws",
            {
                "CONTROL_CA": self._args.foundation.authority,
                "SERVICE_KEY_ARN": known.service_key,
                "JOIN_TOKEN_ARN": known.join_token,
                "VERSIONS": versions.apply(" ".join),
            },
            parent=parent,
            depends_on=[installed],
        )

    def _host_args(
        self, node: Node, admit: Callable[[CloudHost], Sequence[pulumi.Resource]]
    ) -> CloudHostArgs:
        deployment, shared = self._args.deployment, self._admission.shared
        account, region = self.regional.settings.account, self.regional.region
        return CloudHostArgs(
            regional=self.regional,
            kind="node",
            place=self._args.datacentre.name,
            machine=nodes.machine(self._own, node, self._spread.of(node)),
            subnet=self._network.subnet_of(node.zone),
            group=self._group.group,
            policy=documents.node_policy(deployment.name, account, region, node.name),
            login_key=shared.login_key,
            login_public_key=shared.login_public_key,
            key=self._admission.key,
            before_address=admit,
        )

    def _key(self, foundation: Foundation) -> pulumi.Output[str]:
        """ARN of the deployment's KMS key here."""
        assert foundation.aws is not None
        account, region = self.regional.settings.account, self.regional.region
        return foundation.aws.key_id.apply(lambda key: plan.key_arn(account, region, key))

    def _make_network(self) -> Network:
        return Network(
            f"{self._args.datacentre.name}/network",
            NetworkArgs(
                regional=self.regional,
                network=self._own.network,
                zones=self._own.zones,
                flow_log_days=self._own.flow_log_days,
                key=self._admission.key,
            ),
            child(self),
        )

    def _make_group(self) -> Group:
        settings = self.regional.settings
        return Group(
            f"{self._args.datacentre.name}/nodes",
            GroupArgs(
                regional=self.regional,
                vpc=self._network.vpc,
                description="nodes",
                rules=[*security.node_rules(self._args.deployment, settings, self._own)],
            ),
            child(self),
        )

    def _make_entry(self) -> Nlb | None:
        """What brings clients' packets to nodes that do not announce their addresses."""
        if self._own.entry is Entry.ROUTE_SERVER:
            return None
        place = self._args.datacentre.name
        balancer = Nlb(
            f"{place}/nlb",
            NlbArgs(
                regional=self.regional,
                network=self._network,
                own=self._own,
                port=self._args.deployment.anycast.port,
                public=self._own.entry is Entry.NLB,
            ),
            child(self),
        )
        if self._own.entry is Entry.ACCELERATOR:
            endpoint_group(
                f"{place}/accelerator",
                self.regional,
                self._admission.shared.listener,
                balancer.arn,
                opts=child(self, depends_on=[balancer.ready]),
            )
        return balancer

    def _make_route_server(self) -> RouteServer | None:
        if self._own.route_server is None:
            return None
        return RouteServer(
            f"{self._args.datacentre.name}/route-server",
            RouteServerArgs(
                regional=self.regional,
                network=self._network,
                own=self._own,
                asn=self._args.deployment.asn,
            ),
            child(self),
        )
