"""Addresses, names and ARNs in AWS, from settings alone. Pure.

A VPC's network is cut into sixteen subnets: the first ones are public, one per zone,
those from the ninth on private. A node's address is counted from its id, two for each,
one per image letter: so a node made from the other image stands beside the old one until
the old one has drained, and every other node knows both addresses beforehand.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from anycastle.model.aws import AwsDatacentre
from anycastle.model.deployment import Datacentre, Node

SUBNET_BITS = 4
FIRST_PRIVATE = 8
"""Index of the first private subnet among the sixteen."""
FIRST_NODE_OFFSET = 16
"""AWS keeps four addresses of a subnet, load balancers and endpoints take the next."""
LETTERS = ("a", "b")
"""Images that a node may be made from, and so its addresses."""

SPREAD = 7
"""Running instances of a spread placement group in one zone."""
GATEWAY_OFFSET = 1
"""The VPC's router in each subnet."""


def subnet(network: IPv4Network, index: int) -> IPv4Network:
    """Subnet number `index`, from 0."""
    size = network.num_addresses >> SUBNET_BITS
    first = network.network_address + index * size
    return IPv4Network((first, network.prefixlen + SUBNET_BITS))


def public_subnet(network: IPv4Network, zone: int) -> IPv4Network:
    return subnet(network, zone)


def private_subnet(network: IPv4Network, zone: int) -> IPv4Network:
    return subnet(network, FIRST_PRIVATE + zone)


def gateway(of: IPv4Network) -> IPv4Address:
    """The router of a subnet."""
    return of.network_address + GATEWAY_OFFSET


def highest_id(network: IPv4Network) -> int:
    """The highest node id with both its addresses inside a subnet of the network."""
    size = network.num_addresses >> SUBNET_BITS
    # The last address is AWS's.
    return (size - 2 - FIRST_NODE_OFFSET - 1) // len(LETTERS)


def letter(aws: AwsDatacentre, node: Node) -> str:
    """Which image a node is made from."""
    return node.image or aws.image


def instance_type(aws: AwsDatacentre, node: Node) -> str:
    """What a node's machine is. It changes in place, and AWS stops the machine for that: so
    the other letter may have another one, for nodes that are made anew."""
    return aws.instance_types.get(letter(aws, node), aws.instance_type)


def zone_subnet(aws: AwsDatacentre, zone: str) -> IPv4Network:
    """The public subnet of a zone."""
    return public_subnet(aws.network, aws.zones.index(zone))


def node_address(aws: AwsDatacentre, node: Node) -> IPv4Address:
    """The node's private address, where packets for it arrive, from whomever."""
    offset = FIRST_NODE_OFFSET + len(LETTERS) * node.id + LETTERS.index(letter(aws, node))
    return zone_subnet(aws, node.zone).network_address + offset


def spread(aws: AwsDatacentre, node: Node) -> str:
    """Placement group of a node, e.g. `1a`: blocks of seven ids, the most that a zone takes,
    and the other image's beside them, so that there is room for a node made anew."""
    return f"{(node.id - 1) // SPREAD + 1}{letter(aws, node)}"


def underlay(datacentre: Datacentre, node: Node) -> IPv4Address | None:
    """Tunnel end of a node on the inter-node path, None for its loopback."""
    return None if datacentre.aws is None else node_address(datacentre.aws, node)


# names --------------------------------------------------------------------------------


def name(deployment: str, *parts: str) -> str:
    """Name of something in AWS, e.g. `anycastle-prod-eu-west-1`."""
    return "-".join(("anycastle", deployment, *parts))


def secret_name(deployment: str, *parts: str) -> str:
    """Name in Secrets Manager, e.g. `anycastle/prod/nodes/euw-1/join-token`."""
    return "/".join(("anycastle", deployment, *parts))


def service_key_name(deployment: str) -> str:
    return secret_name(deployment, "service-key")


def join_token_name(deployment: str, node: str) -> str:
    return secret_name(deployment, "nodes", node, "join-token")


def host_key_name(deployment: str, host: str) -> str:
    return secret_name(deployment, "hosts", host, "host-key")


def secret_arn(account: str, region: str, named: str) -> str:
    """ARN with a wildcard of exactly the six characters that AWS adds to a secret's name."""
    return f"arn:aws:secretsmanager:{region}:{account}:secret:{named}-??????"


def partial_secret_arn(account: str, region: str, named: str) -> str:
    """ARN without those characters, which calls accept (GetSecretValue, SecretId)."""
    return f"arn:aws:secretsmanager:{region}:{account}:secret:{named}"


def role_arn(account: str, role: str) -> str:
    return f"arn:aws:iam::{account}:role/{role}"


def bucket_name(deployment: str, account: str) -> str:
    """Bucket names are the whole world's: the account makes it ours."""
    return name(deployment, "audit", account)


def key_arn(account: str, region: str, key_id: str) -> str:
    """The deployment's key in a region; a multi-region key has the same id in all of them."""
    return f"arn:aws:kms:{region}:{account}:key/{key_id}"


def key_alias(deployment: str) -> str:
    return f"alias/{name(deployment)}"
