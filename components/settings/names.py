"""Names and ids: of the right form, and each used once."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from anycastle.model.addresses import Dual
from anycastle.model.codec import ModelError
from anycastle.model.deployment import Datacentre, Deployment, Kind
from components.aws import plan

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""RFC 1123, section 2.1, in lower case: names become host names and file names."""


def check(deployment: Deployment, path: str) -> Iterator[ModelError]:
    """Faults of names, ids and kinds."""
    named = list(_names(deployment, path))
    for name, where in [(deployment.name, f"{path}.name"), *_labels(deployment, path)]:
        if not DNS_LABEL.fullmatch(name):
            yield ModelError(where, f"{name!r} is no DNS label (a-z, 0-9 and inner -, up to 63)")
    yield from duplicates(named)
    yield from duplicates(
        (dc.name, f"{path}.datacentres[{i}].name") for i, dc in enumerate(deployment.datacentres)
    )
    yield from _ids(deployment, path)
    yield from _datacentres(deployment.datacentres, f"{path}.datacentres")


def duplicates(entries: Iterable[tuple[object, str]]) -> Iterator[ModelError]:
    """A fault for each (value, path) whose value an earlier entry has."""
    first: dict[object, str] = {}
    for value, where in entries:
        if value in first:
            yield ModelError(where, f"{value} is taken by {first[value]}")
        first.setdefault(value, where)


def _names(deployment: Deployment, path: str) -> Iterator[tuple[str, str]]:
    """Nodes and edge routers: they are hosts and BGP neighbours, so they share one name space."""
    for i, datacentre in enumerate(deployment.datacentres):
        for j, edge in enumerate(datacentre.edges):
            yield edge.name, f"{path}.datacentres[{i}].edges[{j}].name"
        for j, node in enumerate(datacentre.nodes):
            yield node.name, f"{path}.datacentres[{i}].nodes[{j}].name"


def _labels(deployment: Deployment, path: str) -> Iterator[tuple[str, str]]:
    for i, datacentre in enumerate(deployment.datacentres):
        yield datacentre.name, f"{path}.datacentres[{i}].name"
    yield from _names(deployment, path)


def _ids(deployment: Deployment, path: str) -> Iterator[ModelError]:
    entries = [
        (node.id, f"{path}.datacentres[{i}].nodes[{j}].id", datacentre)
        for i, datacentre in enumerate(deployment.datacentres)
        for j, node in enumerate(datacentre.nodes)
    ]
    yield from duplicates((number, where) for number, where, _ in entries)
    for number, where, datacentre in entries:
        highest = highest_id(deployment.loopbacks, datacentre)
        if not 1 <= number <= highest:
            networks = "loopback and link networks" if datacentre.aws is None else "loopbacks, VPC"
            yield ModelError(
                where,
                f"{number} is not between 1 and {highest}, which is what the "
                f"{networks} have room for",
            )


def highest_id(loopbacks: Dual, datacentre: Datacentre) -> int:
    """The highest node id that has a loopback address, and a link to each edge router or
    an address in each subnet."""
    loopback_room = loopbacks.v4.num_addresses - 2
    link_room = [edge.links.v4.num_addresses // 2 - 1 for edge in datacentre.edges]
    link_room += [edge.links.v6.num_addresses // 2 - 1 for edge in datacentre.edges]
    if datacentre.aws is not None:
        link_room.append(plan.highest_id(datacentre.aws.network))
    return min(loopback_room, loopbacks.v6.num_addresses - 1, *link_room)


def _datacentres(datacentres: Iterable[Datacentre], path: str) -> Iterator[ModelError]:
    datacentres = list(datacentres)
    if not datacentres:
        yield ModelError(path, "a deployment needs at least one datacentre")
    for i, datacentre in enumerate(datacentres):
        where = f"{path}[{i}]"
        if not datacentre.nodes:
            yield ModelError(
                f"{where}.nodes",
                f"datacentre {datacentre.name!r} has no nodes; give it one or remove it",
            )
        if not datacentre.edges and datacentre.kind is not Kind.AWS:
            yield ModelError(
                f"{where}.edges",
                f"datacentre {datacentre.name!r} has no edge router for its nodes to announce to",
            )


def no_lab(deployment: Deployment, path: str) -> Iterator[ModelError]:
    """Faults of a deployment of several stacks: a lab is one machine's, and one stack."""
    for i, datacentre in enumerate(deployment.datacentres):
        if datacentre.kind is Kind.LAB:
            yield ModelError(f"{path}.datacentres[{i}].kind", "a lab is one stack without a role")
