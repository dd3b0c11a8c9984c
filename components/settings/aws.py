"""What a deployment's settings in AWS must be: one value, and to each other."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network

from anycastle.model.aws import Aws, AwsControl, AwsDatacentre
from anycastle.model.codec import ModelError
from anycastle.model.deployment import Datacentre, Deployment, Kind
from components.aws import plan
from components.settings import entries
from components.settings.names import duplicates
from components.settings.networks import placed
from components.settings.numbers import WIREGUARD_OVERHEAD, asn, port, within

ACCOUNT = re.compile(r"\d{12}")
REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
IMAGE = re.compile(r"ami-[0-9a-f]{8,17}")
INSTANCE_TYPE = re.compile(r"[a-z0-9-]+\.[a-z0-9-]+")
OWN_TAGS = ("Name", "anycastle:deployment", "anycastle:stack", "anycastle:datacentre")

EDGE_MTU = 1500
"""Bytes of an IP packet at internet gateways, NLB and Global Accelerator."""
VPC_MTU = 9001
LOG_DAYS = (0, 1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 3653)
"""Retention that CloudWatch Logs knows."""
VPC_PREFIXES = (16, 20)
"""Lengths of a VPC's network: AWS allows no larger one, and sixteen subnets need room."""


def check(deployment: Deployment, path: str) -> Iterator[ModelError]:
    """Faults of everything in AWS."""
    ours = [
        (f"{path}.datacentres[{i}]", datacentre)
        for i, datacentre in enumerate(deployment.datacentres)
    ]
    for where, datacentre in ours:
        yield from _kind(datacentre, where)
    if deployment.aws is None:
        if any(datacentre.kind is Kind.AWS for datacentre in deployment.datacentres):
            yield ModelError(
                f"{path}.aws", "missing; with datacentres in AWS it names account and home region"
            )
        return
    yield from _deployment(deployment, deployment.aws, f"{path}.aws")
    for where, datacentre in ours:
        if datacentre.kind is Kind.AWS and datacentre.aws is not None:
            yield from _datacentre(datacentre, datacentre.aws, where)
            yield from entries.check(deployment, datacentre, datacentre.aws, where)
    yield from entries.ipv4_only(deployment, path)
    yield from _networks(deployment, path)
    yield from _mtu(deployment, path)


def _kind(datacentre: Datacentre, path: str) -> Iterator[ModelError]:
    if datacentre.kind is not Kind.AWS:
        if datacentre.aws is not None:
            yield ModelError(f"{path}.aws", f"a datacentre of kind {datacentre.kind} has none")
        for j, node in enumerate(datacentre.nodes):
            for field, value in (("zone", node.zone), ("image", node.image)):
                if value:
                    reason = f"nodes of kind {datacentre.kind} have none"
                    yield ModelError(f"{path}.nodes[{j}].{field}", reason)
        return
    if datacentre.aws is None:
        yield ModelError(f"{path}.aws", "missing; it describes region, zones and entry")
    if datacentre.edges:
        yield ModelError(
            f"{path}.edges", "has to be empty in AWS: the Route Server's endpoints are the edges"
        )


# the deployment's side ------------------------------------------------------------------


def _deployment(deployment: Deployment, aws: Aws, path: str) -> Iterator[ModelError]:
    yield from _matches(ACCOUNT, aws.account, f"{path}.account", "an account id of 12 digits")
    yield from _matches(REGION, aws.region, f"{path}.region", "a region like eu-west-1")
    for tag in aws.tags:
        if tag.startswith("aws:") or tag in OWN_TAGS:
            yield ModelError(f"{path}.tags.{tag}", "this tag is not yours to set")
    if not aws.ssh.ranges:
        yield ModelError(
            f"{path}.ssh.ranges",
            "name the networks of operators and of the machine that runs Pulumi: it logs in to "
            "hosts, if only through the jump host, and calls the API",
        )
    for field, networks in (("ssh.ranges", aws.ssh.ranges), ("monitoring", aws.monitoring)):
        for i, network in enumerate(networks):
            if network.prefixlen < 8:
                yield ModelError(f"{path}.{field}[{i}]", f"{network} is (nearly) everybody")
    if aws.ssh.jump is not None:
        yield from port(aws.ssh.jump.port, f"{path}.ssh.jump.port")
    yield from _control(aws.control, aws.region, f"{path}.control")
    if not deployment.control_plane.names:
        yield ModelError(
            f"{path.removesuffix('.aws')}.control_plane.names",
            "needs a DNS name: the load balancer of the API has no address that is known before",
        )
    yield from within(aws.audit.retention_days, 1, 36500, f"{path}.audit.retention_days", " days")


def _control(control: AwsControl, region: str, path: str) -> Iterator[ModelError]:
    yield from _zones(control.zones, region, f"{path}.zones")
    yield from _vpc(control.network, f"{path}.network", (16, 24))
    yield from _matches(
        IMAGE, control.image, f"{path}.image", "an image like ami-0123456789abcdef0"
    )
    yield from _instance_type(control.instance_type, f"{path}.instance_type")
    yield from _log_days(control.flow_log_days, f"{path}.flow_log_days")
    database, where = control.database, f"{path}.database"
    yield from within(database.storage, 20, 65536, f"{where}.storage", " GiB")
    yield from within(database.backup_days, 1, 35, f"{where}.backup_days", " days")
    if not database.instance_class.startswith("db."):
        yield ModelError(f"{where}.instance_class", f"{database.instance_class!r} is none of RDS")


# a region -------------------------------------------------------------------------------


def _datacentre(datacentre: Datacentre, aws: AwsDatacentre, path: str) -> Iterator[ModelError]:
    where = f"{path}.aws"
    yield from _matches(REGION, aws.region, f"{where}.region", "a region like eu-west-1")
    yield from _zones(aws.zones, aws.region, f"{where}.zones")
    yield from _vpc(aws.network, f"{where}.network", VPC_PREFIXES)
    yield from _instance_type(aws.instance_type, f"{where}.instance_type")
    yield from within(aws.volume, 8, 16384, f"{where}.volume", " GiB")
    yield from _log_days(aws.flow_log_days, f"{where}.flow_log_days")
    yield from _images(aws.images, aws.image, where)
    for key, value in aws.instance_types.items():
        if key not in aws.images:
            reason = f"{key!r} is none of the images {', '.join(aws.images)}"
            yield ModelError(f"{where}.instance_types.{key}", reason)
        yield from _instance_type(value, f"{where}.instance_types.{key}")
    if aws.route_server is not None:
        yield from asn(aws.route_server.asn, f"{where}.route_server.asn")
        endpoints = aws.route_server.endpoints_per_zone
        yield from within(endpoints, 1, 2, f"{where}.route_server.endpoints_per_zone")
    for j, node in enumerate(datacentre.nodes):
        if node.zone not in aws.zones:
            reason = f"{node.zone or 'nothing'!r} is none of the zones {', '.join(aws.zones)}"
            yield ModelError(f"{path}.nodes[{j}].zone", reason)
        if node.image and node.image not in aws.images:
            reason = f"{node.image!r} is none of the images {', '.join(aws.images)}"
            yield ModelError(f"{path}.nodes[{j}].image", reason)


def _images(images: Mapping[str, str], used: str, path: str) -> Iterator[ModelError]:
    for key, image in images.items():
        where = f"{path}.images.{key}"
        if key not in plan.LETTERS:
            yield ModelError(where, f"images are called {' and '.join(plan.LETTERS)}")
        yield from _matches(IMAGE, image, where, "an image like ami-0123456789abcdef0")
    if used not in images:
        yield ModelError(f"{path}.image", f"{used!r} is none of the images {', '.join(images)}")


def _zones(zones: tuple[str, ...], region: str, path: str) -> Iterator[ModelError]:
    if not 2 <= len(zones) <= 3:
        yield ModelError(path, f"{len(zones)} zones; 2 or 3 survive the loss of one")
    yield from duplicates((zone, f"{path}[{i}]") for i, zone in enumerate(zones))
    for i, zone in enumerate(zones):
        if not re.fullmatch(rf"{re.escape(region)}[a-z]", zone):
            yield ModelError(f"{path}[{i}]", f"{zone!r} is no zone of {region}")


def _vpc(network: IPv4Network, path: str, lengths: tuple[int, int]) -> Iterator[ModelError]:
    shortest, longest = lengths
    if not shortest <= network.prefixlen <= longest:
        yield ModelError(path, f"{network} has to be a /{shortest} to a /{longest}")


def _log_days(days: int, path: str) -> Iterator[ModelError]:
    if days not in LOG_DAYS:
        yield ModelError(path, f"{days} is none of {', '.join(map(str, LOG_DAYS))}")


def _instance_type(value: str, path: str) -> Iterator[ModelError]:
    return _matches(INSTANCE_TYPE, value, path, "an instance type like c6in.large")


def _matches(
    pattern: re.Pattern[str], value: str, path: str, described: str
) -> Iterator[ModelError]:
    if not pattern.fullmatch(value):
        yield ModelError(path, f"{value!r} is not {described}")


# beside each other ----------------------------------------------------------------------


def _networks(deployment: Deployment, path: str) -> Iterator[ModelError]:
    """VPCs share addresses with nothing but the services that are inside them."""
    assert deployment.aws is not None
    taken = [(network, where) for network, where in placed(deployment, path)]
    vpcs = [(deployment.aws.control.network, f"{path}.aws.control.network", "")]
    for i, datacentre in enumerate(deployment.datacentres):
        if datacentre.aws is not None:
            where = f"{path}.datacentres[{i}]"
            vpcs.append((datacentre.aws.network, f"{where}.aws.network", f"{where}.services"))
    for vpc, where, services in vpcs:
        for network, other in taken:
            inside = services and other.startswith(services) and network.version == 4
            if not inside and network.version == 4 and vpc.overlaps(network):
                yield ModelError(where, f"{vpc} overlaps {network} of {other}")
        taken.append((vpc, where))


def _mtu(deployment: Deployment, path: str) -> Iterator[ModelError]:
    several = len(deployment.datacentres) > 1
    most = EDGE_MTU if several else VPC_MTU
    if deployment.fabric.mtu > most:
        reason = "between regions" if several else "inside a VPC"
        yield ModelError(
            f"{path}.fabric.mtu", f"{deployment.fabric.mtu} is more than {most}, the MTU {reason}"
        )
    outer = deployment.client_mtu + WIREGUARD_OVERHEAD[4]
    if outer > EDGE_MTU and any(dc.kind is Kind.AWS for dc in deployment.datacentres):
        yield ModelError(
            f"{path}.client_mtu",
            f"{deployment.client_mtu} makes packets of {outer} bytes; load balancers and "
            f"internet gateways carry {EDGE_MTU}",
        )
