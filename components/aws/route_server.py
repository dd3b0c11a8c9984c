"""VPC Route Server: nodes tell the VPC by BGP what is behind them.

Each zone has its endpoints, a node's neighbours are those of its own zone: one hop away, as
BFD of RFC 5881 wants it. A node announces its loopback and the client pool as an aggregate
(and, where the entry is the Route Server, the anycast prefixes), never clients: a route
table takes 100 routes. What a route server has learnt from a dead node it forgets: routes
are not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

import pulumi
import pulumi_aws as aws

from anycastle.model.aws import AwsDatacentre, Entry
from anycastle.model.deployment import Bfd
from anycastle.model.node import EdgePeer
from components.aws import plan
from components.aws.network import Network
from components.aws.regional import Regional, child
from components.naming import on

BFD = Bfd(interval=300, multiplier=3)
"""What AWS's routers take at the least."""


@dataclass(frozen=True, kw_only=True)
class RouteServerArgs:
    """own: the region's settings; they have a route server. asn: the nodes'."""

    regional: Regional
    network: Network
    own: AwsDatacentre
    asn: int


class RouteServer(pulumi.ComponentResource):
    """The Route Server of a VPC with its endpoints, and the tables that follow it."""

    def __init__(
        self, name: str, args: RouteServerArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:RouteServer", name, None, opts)
        assert args.own.route_server is not None
        self._name = name
        self._args = args
        self._settings = args.own.route_server
        self._server = aws.vpc.RouteServer(
            name,
            amazon_side_asn=self._settings.asn,
            persist_routes="disable",
            tags=args.regional.tags(name),
            opts=child(self),
        )
        self._associated = aws.vpc.RouteServerVpcAssociation(
            name,
            route_server_id=self._server.route_server_id,
            vpc_id=args.network.vpc.id,
            opts=child(self),
        )
        self._endpoints = {zone: self._endpoints_of(zone) for zone in args.own.zones}
        for kind, table in self._tables().items():
            aws.vpc.RouteServerPropagation(
                f"{name}/{kind}",
                route_server_id=self._server.route_server_id,
                route_table_id=table.id,
                opts=child(self, depends_on=[self._associated]),
            )
        self.register_outputs({"id": self._server.route_server_id})

    def peers(
        self, node: str, zone: str, address: IPv4Address, parent: pulumi.Resource
    ) -> list[pulumi.Resource]:
        """The resources `NODE/route-server/N`: what each endpoint expects of a node."""
        return [
            self._peer(on(node, "route-server", str(number)), endpoint, address, parent)
            for number, endpoint in enumerate(self._endpoints[zone], 1)
        ]

    def edges(self, zone: str, address: IPv4Address) -> pulumi.Output[tuple[EdgePeer, ...]]:
        """The endpoints as a node's eBGP neighbours. Their addresses are AWS's choice."""
        endpoints = [endpoint.eni_address for endpoint in self._endpoints[zone]]
        return pulumi.Output.all(*endpoints).apply(
            lambda found: edge_peers(self._args.own, zone, address, found)
        )

    def _endpoints_of(self, zone: str) -> list[aws.vpc.RouteServerEndpoint]:
        names = [
            f"{self._name}/{zone}/{number}"
            for number in range(1, self._settings.endpoints_per_zone + 1)
        ]
        return [
            aws.vpc.RouteServerEndpoint(
                name,
                route_server_id=self._server.route_server_id,
                subnet_id=self._args.network.subnet_of(zone).id,
                tags=self._args.regional.tags(name),
                opts=child(self, depends_on=[self._associated]),
            )
            for name in names
        ]

    def _tables(self) -> dict[str, aws.ec2.RouteTable]:
        """Tables of subnets; for anycast addresses also that of what the internet sends."""
        tables = dict(self._args.network.tables)
        if self._args.own.entry is Entry.ROUTE_SERVER:
            tables["internet"] = self._internet_table()
        return tables

    def _internet_table(self) -> aws.ec2.RouteTable:
        """The internet gateway's own: packets for announced prefixes go to a node."""
        name, network = f"{self._name}/internet", self._args.network
        table = aws.ec2.RouteTable(
            name,
            vpc_id=network.vpc.id,
            tags=self._args.regional.tags(name),
            opts=child(self),
        )
        aws.ec2.RouteTableAssociation(
            name, gateway_id=network.gateway.id, route_table_id=table.id, opts=child(self)
        )
        return table

    def _peer(
        self,
        name: str,
        endpoint: aws.vpc.RouteServerEndpoint,
        address: IPv4Address,
        parent: pulumi.Resource,
    ) -> pulumi.Resource:
        return aws.vpc.RouteServerPeer(
            name,
            route_server_endpoint_id=endpoint.route_server_endpoint_id,
            peer_address=str(address),
            bgp_options={"peer_asn": self._args.asn, "peer_liveness_detection": "bfd"},
            tags=self._args.regional.tags(name),
            opts=self._args.regional.under(parent),
        )


def edge_peers(
    own: AwsDatacentre, zone: str, address: IPv4Address, endpoints: list[str]
) -> tuple[EdgePeer, ...]:
    """The neighbours of a node. endpoints: addresses of those in its zone. Pure."""
    assert own.route_server is not None
    asn = own.route_server.asn
    length = plan.zone_subnet(own, zone).prefixlen
    return tuple(
        EdgePeer(
            name=f"rs-{zone}-{number}",
            asn=asn,
            device=own.device,
            local4=IPv4Interface(f"{address}/{length}"),
            remote4=IPv4Address(endpoint),
            bfd=BFD,
        )
        for number, endpoint in enumerate(endpoints, 1)
    )
