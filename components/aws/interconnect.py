"""VPC peering between the regions of a deployment: the inter-node path's way.

Of two regions the one with the higher node ids makes everything of their peering, on both
sides (one account, and a resource may name its region): the other one's VPC is there
before, its ids come from that stack's outputs. So stacks have an order, and no circle.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws

from anycastle.model.deployment import Datacentre, Deployment
from components.aws.regional import Regional, child


@dataclass(frozen=True, kw_only=True)
class Side:
    """A VPC at one end. table: id of the route table of its nodes' subnets."""

    region: str
    network: IPv4Network
    vpc: pulumi.Input[str]
    table: pulumi.Input[str]


def earlier(deployment: Deployment, datacentre: Datacentre) -> Iterator[Datacentre]:
    """Regions that this one makes the peering with. Pure."""
    for other in deployment.datacentres:
        if other.aws is not None and lowest_id(other) < lowest_id(datacentre):
            yield other


def lowest_id(datacentre: Datacentre) -> int:
    return min(node.id for node in datacentre.nodes)


@dataclass(frozen=True, kw_only=True)
class InterconnectArgs:
    """regional: of the near side, which the component is a child of."""

    regional: Regional
    near: Side
    far: Side


class Interconnect(pulumi.ComponentResource):
    """A peering with the routes of both sides."""

    def __init__(
        self, name: str, args: InterconnectArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:Interconnect", name, None, opts)
        near, far = args.near, args.far
        within = near.region == far.region
        connection = aws.ec2.VpcPeeringConnection(
            name,
            vpc_id=near.vpc,
            peer_vpc_id=far.vpc,
            peer_region=None if within else far.region,
            tags=args.regional.tags(name),
            opts=child(self),
        )
        accepted = aws.ec2.VpcPeeringConnectionAccepter(
            name,
            vpc_peering_connection_id=connection.id,
            auto_accept=True,
            region=far.region,
            tags=args.regional.tags(name),
            opts=child(self),
        )
        for end, here, there in (("near", near, far), ("far", far, near)):
            aws.ec2.Route(
                f"{name}/{end}",
                route_table_id=here.table,
                destination_cidr_block=str(there.network),
                vpc_peering_connection_id=accepted.vpc_peering_connection_id,
                region=here.region,
                opts=child(self),
            )
        self.register_outputs({"connection": connection.id})
