"""A small stack that keeps every rule of the policy pack, or breaks those in `anycastle:break`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, TypeVar

import pulumi
import pulumi_aws as aws
from pulumi_command import remote

sys.path.append(str(Path(__file__).resolve().parents[4]))

from components.previous import Previous

Value = TypeVar("Value")
config = pulumi.Config("anycastle")
broken = set(config.get_object("break") or [])
nodes: list[str] = config.get_object("nodes") or ["dub-1", "dub-2", "dub-3", "dub-4"]
image = config.get("image") or "ami-0123456789abcdef0"
instance_type = config.get("instance_type") or "c6in.large"


def unless(rule: str, good: Value, bad: Value) -> Value:
    return bad if rule in broken else good


tags = {"anycastle:deployment": "prod", "anycastle:stack": "prod"}
cloud = aws.Provider(
    "cloud",
    region="eu-west-1",
    default_tags=aws.ProviderDefaultTagsArgs(tags=unless("tags-required", tags, {})),
)
here = pulumi.ResourceOptions(provider=cloud)
held = pulumi.ResourceOptions(provider=cloud, protect="data-protected" not in broken)
Previous("previous")

key = aws.kms.Key("key", enable_key_rotation=unless("kms-rotation", True, False), opts=held)
vpc = aws.ec2.Vpc(
    "net", cidr_block=unless("pools-apart-from-vpcs", "10.1.0.0/16", "10.200.0.0/17"), opts=here
)
subnet = aws.ec2.Subnet("a", vpc_id=vpc.id, cidr_block="10.1.1.0/24", opts=here)
group = aws.ec2.SecurityGroup("nodes", vpc_id=vpc.id, description="nodes", opts=here)


def let_in(name: str, protocol: str, port: int, source: str) -> None:
    aws.vpc.SecurityGroupIngressRule(
        name,
        security_group_id=group.id,
        ip_protocol=protocol,
        from_port=port,
        to_port=port,
        cidr_ipv4=source,
        opts=here,
    )


let_in("clients", "udp", 51820, "0.0.0.0/0")
let_in("operators", "tcp", 22, unless("ssh-not-open", "198.51.100.0/24", "0.0.0.0/0"))
let_in("web", "tcp", 443, unless("only-service-port-open", "198.51.100.0/24", "0.0.0.0/0"))

hosts: list[dict[str, pulumi.Input[str]]] = []
machines = {}
for name in nodes:
    machines[name] = aws.ec2.Instance(
        name,
        ami=image,
        instance_type=instance_type,
        subnet_id=subnet.id,
        metadata_options={"http_tokens": unless("imdsv2-only", "required", "optional")},
        root_block_device={"encrypted": unless("volumes-encrypted", True, False)},
        user_data=unless(
            "no-secret-in-user-data", "#cloud-config\n", "-----BEGIN OPENSSH PRIVATE KEY-----\n"
        ),
        opts=here,
    )
    hosts.append(
        {"name": name, "kind": "node", "place": "dub", "address": machines[name].private_ip}
    )

targets = aws.lb.TargetGroup(
    "clients",
    port=51820,
    protocol="UDP",
    vpc_id=vpc.id,
    preserve_client_ip="true",
    stickiness={"type": "source_ip", "enabled": unless("entry-keeps-clients", True, False)},
    health_check={
        "port": unless("health-check-on-agent", "9178", "traffic-port"),
        "protocol": "HTTP",
    },
    opts=here,
)
server = aws.vpc.RouteServer("routes", amazon_side_asn=64700, opts=here)
endpoint = aws.vpc.RouteServerEndpoint(
    "routes", route_server_id=server.route_server_id, subnet_id=subnet.id, opts=here
)
aws.vpc.RouteServerPeer(
    nodes[0],
    route_server_endpoint_id=endpoint.route_server_endpoint_id,
    peer_address="10.1.1.10",
    bgp_options={
        "peer_asn": 64512,
        "peer_liveness_detection": unless("bfd-on-peerings", "bfd", "bgp-keepalive"),
    },
    opts=here,
)

statement = {
    "Effect": "Allow",
    "Action": unless("no-wildcard-iam", "secretsmanager:GetSecretValue", "secretsmanager:*"),
    "Resource": "arn:aws:secretsmanager:eu-west-1:000000000000:secret:prod/dub-1-*",
}
aws.iam.Policy("node", policy=json.dumps({"Statement": [statement]}), opts=here)
aws.secretsmanager.Secret(
    "service-key", kms_key_id=unless("encrypted-at-rest", key.arn, None), opts=held
)

parameters = aws.rds.ParameterGroup(
    "control",
    family="postgres17",
    parameters=[{"name": "rds.force_ssl", "value": unless("database-tls", "1", "0")}],
    opts=here,
)
aws.rds.Instance(
    "control",
    instance_class="db.t4g.small",
    multi_az=unless("database-protected", True, False),
    backup_retention_period=14,
    deletion_protection=True,
    storage_encrypted=True,
    parameter_group_name=parameters.name,
    opts=held,
)

bucket = aws.s3.Bucket("audit", object_lock_enabled=unless("audit-locked", True, False), opts=held)
algorithm = unless("buckets-encrypted", "aws:kms", "AES256")
aws.s3.BucketServerSideEncryptionConfiguration(
    "audit",
    bucket=bucket.id,
    rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": algorithm}}],
    opts=here,
)
aws.s3.BucketVersioning(
    "audit", bucket=bucket.id, versioning_configuration={"status": "Enabled"}, opts=here
)
aws.s3.BucketObjectLockConfiguration(
    "audit",
    bucket=bucket.id,
    rule={"default_retention": {"mode": "GOVERNANCE", "days": 365}},
    opts=here,
)
aws.s3.BucketPublicAccessBlock(
    "audit",
    bucket=bucket.id,
    block_public_acls=unless("buckets-private", True, False),
    block_public_policy=True,
    ignore_public_acls=True,
    restrict_public_buckets=True,
    opts=here,
)

token = pulumi.Output.secret("a token")
command = unless("no-secret-in-commands", "sh -s", pulumi.Output.concat("join ", token))
remote.Command(
    f"{nodes[0]}/agent",
    connection=remote.ConnectionArgs(host=machines[nodes[0]].private_ip),
    create=command,
    stdin=token,
)

settings: dict[str, Any] = {
    "name": "prod",
    "asn": unless("unique-asns-and-router-ids", 64512, 64700),
    "anycast": {
        "addresses": ["192.0.2.1", "2001:db8::1"],
        "prefixes": [unless("prefixes-routable", "192.0.2.0/24", "8.8.8.0/28")],
    },
    "pools": {"v4": "10.200.0.0/16", "v6": "fd00:200::/64"},
    "loopbacks": {"v4": "10.64.0.0/24", "v6": "fd00:64::/64"},
    "fabric": {"mtu": 1500},
    "client_mtu": unless("mtu-consistent", 1380, 1450),
    "client_keepalive": unless("keepalive-below-timeouts", 25, 30),
    "datacentres": [
        {
            "name": "dub",
            "nodes": [{"name": name, "id": index} for index, name in enumerate(nodes, 1)],
            "aws": {"network": "10.1.0.0/16", "entry": "nlb", "route_server": {"asn": 64700}},
        },
        {
            "name": "fra",
            "edges": [
                {
                    "name": "fra-edge",
                    "asn": 64601,
                    "bfd": {"interval": unless("bfd-on-edges", 50, 900), "multiplier": 3},
                }
            ],
            "nodes": [{"name": "fra-1", "id": 8}, {"name": "fra-2", "id": 9}][
                : unless("nodes-per-datacentre", 2, 1)
            ],
        },
    ][: unless("datacentres-per-deployment", 2, 1)],
}
pulumi.export("settings", settings)
pulumi.export("hosts", hosts)
pulumi.export("machines", dict.fromkeys(nodes, instance_type))
pulumi.export("operator_token", unless("no-secret-in-outputs", token, "in the clear"))
