"""Nodes of a region: a machine, what lets it in, and its secrets.

The order is what keeps packets from getting lost. A node that is made anew (the other
image, another zone) gets its new instance while the old one serves. When its turn comes and
all others serve, its membership drains the old one, over the API and while that still has its public address; then the
address moves, and bootstrap goes on with the new instance. The old one is terminated at
the end. A node that leaves drains likewise, before anything of it is taken away.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from anycastle.model.aws import AwsDatacentre, Entry
from anycastle.model.deployment import Anycast, Datacentre, Deployment, Node
from anycastle.model.node import AwsSecrets, EdgePeer, Gateway
from components.attachment import Attachment
from components.aws import plan, texts
from components.aws.hosts import CloudHost, Machine
from components.aws.regional import Regional, child
from components.foundation import Foundation, Shared
from components.membership import Membership, MembershipArgs
from components.naming import on


def machine(own: AwsDatacentre, node: Node, placement: pulumi.Input[str]) -> Machine:
    """What a node's instance is made from. placement: its group's name."""
    return Machine(
        image=own.images[plan.letter(own, node)],
        instance_type=plan.instance_type(own, node),
        zone=node.zone,
        address=plan.node_address(own, node),
        volume=own.volume,
        packages=texts.NODE_PACKAGES,
        placement=placement,
    )


def attachment(
    deployment: Deployment, datacentre: Datacentre, node: Node, edges: tuple[EdgePeer, ...] = ()
) -> Attachment:
    """How a node is connected: packets for clients go to its subnet's router. Pure.

    edges: the Route Server's endpoints. Behind a load balancer packets arrive at the
    node's own address; else it holds the anycast addresses and announces them.
    """
    own, settings = datacentre.aws, deployment.aws
    assert own is not None
    assert settings is not None
    address = plan.node_address(own, node)
    holds = own.entry is Entry.ROUTE_SERVER
    behind = Anycast(addresses=(address,), prefixes=(), port=deployment.anycast.port)
    router = plan.gateway(plan.zone_subnet(own, node.zone))
    return Attachment(
        edges=edges,
        anycast=deployment.anycast if holds else behind,
        hold_anycast=holds,
        gateways=(Gateway(device=own.device, address=router),),
        underlay=address,
        secrets=secrets(deployment, settings.account, own.region, node),
    )


def secrets(deployment: Deployment, account: str, region: str, node: Node) -> AwsSecrets:
    """Where the node finds its secrets. Pure."""
    return AwsSecrets(
        service_key=plan.partial_secret_arn(
            account, region, plan.service_key_name(deployment.name)
        ),
        join_token=plan.partial_secret_arn(
            account, region, plan.join_token_name(deployment.name, node.name)
        ),
    )


class Spread:
    """Placement groups of a region, each made when its first node comes."""

    def __init__(self, regional: Regional, own: AwsDatacentre, parent: pulumi.Resource) -> None:
        self._regional = regional
        self._own = own
        self._parent = parent
        self._groups: dict[str, aws.ec2.PlacementGroup] = {}

    def of(self, node: Node) -> pulumi.Output[str]:
        """Name of the node's group."""
        block = plan.spread(self._own, node)
        if block not in self._groups:
            self._groups[block] = self._group(block)
        return self._groups[block].name

    def _group(self, block: str) -> aws.ec2.PlacementGroup:
        regional = self._regional
        name = on(regional.place, "spread", block)
        return aws.ec2.PlacementGroup(
            name,
            name=plan.name(regional.deployment, regional.place, block),
            strategy="spread",
            spread_level="rack",
            tags=regional.tags(name),
            opts=child(self._parent),
        )


@dataclass(frozen=True, kw_only=True)
class Admission:
    """What makes a machine a node of the deployment."""

    deployment: Deployment
    foundation: Foundation
    regional: Regional
    key: pulumi.Input[str]

    @property
    def shared(self) -> Shared:
        assert self.foundation.aws is not None
        return self.foundation.aws

    def let_in(
        self, node: str, address: pulumi.Output[str], parent: pulumi.Resource
    ) -> pulumi.Resource:
        """The resource `NODE/api`: the API's load balancer, in the home region, takes it in."""
        return aws.ec2.ManagedPrefixListEntry(
            on(node, "api"),
            prefix_list_id=self.shared.api_callers,
            cidr=address.apply(lambda found: f"{found}/32"),
            description=node,
            region=self.regional.settings.region,
            opts=self.regional.under(parent),
        )

    def member(
        self, node: str, host: CloudHost, needs: list[pulumi.Resource], parent: pulumi.Resource
    ) -> Membership:
        """The resource `NODE/membership`. needs: what the node drains by, when it leaves, and the
        membership before this one: no two nodes drain at the same time."""
        foundation = self.foundation
        return Membership(
            on(node, "membership"),
            MembershipArgs(
                name=node,
                url=foundation.url,
                authority=foundation.authority,
                token=foundation.operator,
                epoch=host.instance.id,
            ),
            pulumi.ResourceOptions(
                parent=parent, depends_on=[*foundation.ready, host.instance, *needs]
            ),
        )

    def join_secret(
        self, node: str, member: Membership, parent: pulumi.Resource
    ) -> aws.secretsmanager.SecretVersion:
        """The resources `NODE/join-token`: void after the first use, so without recovery."""
        name = on(node, "join-token")
        secret = aws.secretsmanager.Secret(
            name,
            name=plan.join_token_name(self.deployment.name, node),
            description=f"join token of {node}",
            kms_key_id=self.key,
            recovery_window_in_days=0,
            tags=self.regional.tags(name),
            opts=self.regional.under(parent),
        )
        token: pulumi.Output[str] = pulumi.Output.secret(member.join_token)
        return aws.secretsmanager.SecretVersion(
            name,
            secret_id=secret.id,
            secret_string=token,
            opts=self.regional.under(parent),
        )
