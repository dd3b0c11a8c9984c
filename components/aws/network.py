"""A VPC with public and private subnets in each zone.

Nodes and API hosts stand in public subnets with addresses of their own: packets of a VPN
that leave through NAT gateways would cost by the gigabyte and share their limits. Nothing
reaches them that a security group does not name. The private subnets hold the database
and endpoints of AWS's services, and have no way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network

import pulumi
import pulumi_aws as aws

from components.aws import documents, plan
from components.aws.regional import Regional, child

EVERYWHERE = "0.0.0.0/0"
HTTPS = 443


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """flow_log_days: how long flow logs are kept, 0 for none. key: ARN of their KMS key."""

    regional: Regional
    network: IPv4Network
    zones: tuple[str, ...]
    flow_log_days: int = 0
    key: pulumi.Input[str] | None = None


class Network(pulumi.ComponentResource):
    """public, private: subnets in the order of the zones. tables: by `public`, `private`.

    gateway: the internet gateway.
    """

    vpc: aws.ec2.Vpc
    gateway: aws.ec2.InternetGateway
    public: list[aws.ec2.Subnet]
    private: list[aws.ec2.Subnet]
    tables: dict[str, aws.ec2.RouteTable]

    def __init__(
        self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:Network", name, None, opts)
        self._name = name
        self._args = args
        self._tags = args.regional.tags
        self.vpc = aws.ec2.Vpc(
            f"{name}/vpc",
            cidr_block=str(args.network),
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags=self._tags(f"{name}/vpc"),
            opts=child(self),
        )
        self.gateway = aws.ec2.InternetGateway(
            f"{name}/gateway",
            vpc_id=self.vpc.id,
            tags=self._tags(f"{name}/gateway"),
            opts=child(self),
        )
        self.tables = {kind: self._table(kind) for kind in ("public", "private")}
        aws.ec2.Route(
            f"{name}/public/default",
            route_table_id=self.tables["public"].id,
            destination_cidr_block=EVERYWHERE,
            gateway_id=self.gateway.id,
            opts=child(self),
        )
        cuts = {"public": plan.public_subnet, "private": plan.private_subnet}
        made = {
            kind: [
                self._subnet(kind, zone, cut(args.network, i)) for i, zone in enumerate(args.zones)
            ]
            for kind, cut in cuts.items()
        }
        self.public, self.private = made["public"], made["private"]
        self._endpoints()
        if args.flow_log_days:
            self._flow_logs(args.flow_log_days)
        self.register_outputs({"vpc": self.vpc.id, "network": str(args.network)})

    def subnet_of(self, zone: str) -> aws.ec2.Subnet:
        """The public subnet of a zone."""
        return self.public[self._args.zones.index(zone)]

    def _table(self, kind: str) -> aws.ec2.RouteTable:
        name = f"{self._name}/{kind}"
        # Routes are resources of their own: a Route Server adds others.
        return aws.ec2.RouteTable(name, vpc_id=self.vpc.id, tags=self._tags(name), opts=child(self))

    def _subnet(self, kind: str, zone: str, network: IPv4Network) -> aws.ec2.Subnet:
        name = f"{self._name}/{kind}/{zone}"
        subnet = aws.ec2.Subnet(
            name,
            vpc_id=self.vpc.id,
            cidr_block=str(network),
            availability_zone=zone,
            map_public_ip_on_launch=False,
            tags=self._tags(name),
            opts=child(self),
        )
        aws.ec2.RouteTableAssociation(
            name, subnet_id=subnet.id, route_table_id=self.tables[kind].id, opts=child(self)
        )
        return subnet

    def _endpoints(self) -> None:
        """Secrets Manager inside the VPC (hosts ask it at first boot), S3 without a toll."""
        name, region = self._name, self._args.regional.region
        aws.ec2.VpcEndpoint(
            f"{name}/s3",
            vpc_id=self.vpc.id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[table.id for table in self.tables.values()],
            tags=self._tags(f"{name}/s3"),
            opts=child(self),
        )
        group = aws.ec2.SecurityGroup(
            f"{name}/endpoints",
            description="HTTPS from the VPC to endpoints of AWS services",
            vpc_id=self.vpc.id,
            tags=self._tags(f"{name}/endpoints"),
            opts=child(self),
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{name}/endpoints/https",
            security_group_id=group.id,
            description="HTTPS from the VPC",
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            cidr_ipv4=str(self._args.network),
            tags=self._tags(f"{name}/endpoints/https"),
            opts=child(self),
        )
        aws.ec2.VpcEndpoint(
            f"{name}/secretsmanager",
            vpc_id=self.vpc.id,
            service_name=f"com.amazonaws.{region}.secretsmanager",
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,
            subnet_ids=[subnet.id for subnet in self.private],
            security_group_ids=[group.id],
            tags=self._tags(f"{name}/secretsmanager"),
            opts=child(self),
        )

    def _flow_logs(self, days: int) -> None:
        name, regional = f"{self._name}/flow-logs", self._args.regional
        known = plan.name(regional.deployment, regional.place, "flow-logs")
        group = aws.cloudwatch.LogGroup(
            name,
            name=known,
            retention_in_days=days,
            kms_key_id=self._args.key,
            tags=self._tags(name),
            opts=child(self),
        )
        role = aws.iam.Role(
            name,
            name=known,
            assume_role_policy=documents.trust("vpc-flow-logs.amazonaws.com"),
            tags=self._tags(name),
            opts=child(self),
        )
        account = regional.settings.account
        arn = f"arn:aws:logs:{regional.region}:{account}:log-group:{known}"
        aws.iam.RolePolicy(
            name, role=role.name, policy=documents.flow_log_policy(arn), opts=child(self)
        )
        aws.ec2.FlowLog(
            name,
            vpc_id=self.vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            max_aggregation_interval=600,
            tags=self._tags(name),
            opts=child(self),
        )
