"""Which entry goes with what: how clients reach a region, and why another way would not work."""

from __future__ import annotations

from collections.abc import Iterator

from anycastle.model.aws import AwsDatacentre, Entry
from anycastle.model.codec import ModelError
from anycastle.model.deployment import Datacentre, Deployment

ROUTES_PER_TABLE = 100
"""Routes that a VPC route table takes from a Route Server, as quotas are without a request.
A node announces its loopback, and all of them the client pool (and anycast prefixes)."""


def check(
    deployment: Deployment, datacentre: Datacentre, aws: AwsDatacentre, path: str
) -> Iterator[ModelError]:
    """Faults of a datacentre's entry. path: the datacentre's."""
    match aws.entry:
        case Entry.ACCELERATOR:
            yield from _accelerator(deployment, path)
        case Entry.NLB:
            yield from _nlb(deployment, path)
        case Entry.ROUTE_SERVER:
            yield from _route_server_entry(aws, path)
    if aws.entry is not Entry.ROUTE_SERVER:
        yield from _covered_zones(datacentre, aws, path)
    yield from _return_path(datacentre, aws, path)
    yield from _route_server(deployment, datacentre, aws, path)


def _accelerator(deployment: Deployment, path: str) -> Iterator[ModelError]:
    where = f"{path}.aws.entry"
    if deployment.aws is not None and deployment.aws.accelerator is None:
        yield ModelError(
            where,
            "the deployment has no accelerator; give the global stack one "
            "(deployment.aws.accelerator), or choose another entry",
        )
    accelerator = deployment.aws.accelerator if deployment.aws is not None else None
    for other in deployment.datacentres:
        if other.aws is not None and other.aws.entry is not Entry.ACCELERATOR:
            yield ModelError(
                where,
                f"{other.name!r} has entry {other.aws.entry}, and could not serve the "
                "accelerator's addresses; all datacentres in AWS have the accelerator, or none",
            )
        elif other.aws is None and accelerator is not None and not accelerator.byoip:
            yield ModelError(
                where,
                f"{other.name!r} is not in AWS, and AWS alone announces an accelerator's own "
                "addresses; with your prefix (accelerator.byoip: true) both can announce it",
            )


def _nlb(deployment: Deployment, path: str) -> Iterator[ModelError]:
    if len(deployment.datacentres) > 1:
        yield ModelError(
            f"{path}.aws.entry",
            "an NLB's addresses belong to one region, and clients know one address: with "
            f"{len(deployment.datacentres)} datacentres the entry is accelerator or route_server",
        )


def _route_server_entry(aws: AwsDatacentre, path: str) -> Iterator[ModelError]:
    if aws.route_server is None:
        yield ModelError(
            f"{path}.aws.route_server",
            "missing; with entry route_server the nodes announce to it, and nothing else "
            "brings packets to them",
        )


def ipv4_only(deployment: Deployment, path: str) -> Iterator[ModelError]:
    """Load balancers rewrite packets for the nodes, and here IPv4 ones alone."""
    entries = {datacentre.aws.entry for datacentre in deployment.datacentres if datacentre.aws}
    for entry in sorted(entries - {Entry.ROUTE_SERVER}):
        for i, address in enumerate(deployment.anycast.addresses):
            if address.version == 6:
                reason = f"{address}: entry {entry} carries IPv4 only"
                yield ModelError(f"{path}.anycast.addresses[{i}]", reason)


def _covered_zones(datacentre: Datacentre, aws: AwsDatacentre, path: str) -> Iterator[ModelError]:
    """A zone's load balancer node without cross-zone balancing has that zone's targets only."""
    if aws.cross_zone:
        return
    covered = {node.zone for node in datacentre.nodes}
    for i, zone in enumerate(aws.zones):
        if zone not in covered:
            yield ModelError(
                f"{path}.aws.zones[{i}]",
                f"no node is in {zone}, and without cross_zone its load balancer node would "
                "have nobody to send packets to; add a node or set cross_zone",
            )


def _return_path(datacentre: Datacentre, aws: AwsDatacentre, path: str) -> Iterator[ModelError]:
    if datacentre.services and aws.route_server is None:
        yield ModelError(
            f"{path}.services",
            "services answer to clients' addresses, and only a Route Server tells the VPC "
            "which node those are behind: give the datacentre aws.route_server",
        )


def _route_server(
    deployment: Deployment, datacentre: Datacentre, aws: AwsDatacentre, path: str
) -> Iterator[ModelError]:
    if aws.route_server is None:
        return
    where = f"{path}.aws.route_server"
    if aws.route_server.asn == deployment.asn:
        yield ModelError(
            f"{where}.asn", f"AS {deployment.asn} is the nodes' own; with Amazon's side it is eBGP"
        )
    routes = len(datacentre.nodes) + 1 + len(deployment.anycast.prefixes)
    if routes > ROUTES_PER_TABLE:
        yield ModelError(
            where,
            f"{len(datacentre.nodes)} nodes announce {routes} routes; a route table takes "
            f"{ROUTES_PER_TABLE} from a Route Server",
        )
