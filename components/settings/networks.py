"""Addresses inside their networks, and networks beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from anycastle.model.addresses import FIRST_CLIENT_OFFSET, Address, Dual, Network
from anycastle.model.codec import ModelError
from anycastle.model.deployment import Anycast, Deployment
from anycastle.model.node import FabricSpec
from components.settings.names import duplicates

Placed = tuple[Network, str]
"""A network and the path of the field that it comes from."""


def check(deployment: Deployment, path: str) -> Iterator[ModelError]:
    """Faults of addresses and networks."""
    yield from _anycast(deployment.anycast, f"{path}.anycast")
    yield from _pools(deployment.pools, f"{path}.pools")
    yield from _loopbacks(deployment.loopbacks, f"{path}.loopbacks")
    yield from overlaps(list(placed(deployment, path)))
    yield from _edge_loopbacks(deployment, path)
    yield from _control_plane(deployment, path)


def placed(deployment: Deployment, path: str) -> Iterator[Placed]:
    """Every network of a deployment; no two may share an address."""
    yield from _dual(FabricSpec().networks, "the inter-node path")
    yield from _client_side(deployment, path)
    yield from _dual(deployment.loopbacks, f"{path}.loopbacks")
    for i, datacentre in enumerate(deployment.datacentres):
        where = f"{path}.datacentres[{i}]"
        for j, edge in enumerate(datacentre.edges):
            yield from _dual(edge.links, f"{where}.edges[{j}].links")
        for j, service in enumerate(datacentre.services):
            yield service, f"{where}.services[{j}]"


def _client_side(deployment: Deployment, path: str) -> Iterator[Placed]:
    """What clients see: the networks that exist only while the VPN works."""
    for i, prefix in enumerate(deployment.anycast.prefixes):
        yield prefix, f"{path}.anycast.prefixes[{i}]"
    yield from _dual(deployment.pools, f"{path}.pools")


def overlaps(networks: Sequence[Placed]) -> Iterator[ModelError]:
    """A fault at the later one of each pair that shares addresses."""
    for (first, first_path), (second, second_path) in combinations(networks, 2):
        if first.version == second.version and first.overlaps(second):
            yield ModelError(second_path, f"{second} overlaps {first} of {first_path}")


def _dual(pair: Dual, path: str) -> Iterator[Placed]:
    yield pair.v4, f"{path}.v4"
    yield pair.v6, f"{path}.v6"


def _contains(networks: Iterable[Network], address: Address) -> bool:
    return any(address in network for network in networks)


def _anycast(anycast: Anycast, path: str) -> Iterator[ModelError]:
    if not anycast.addresses:
        yield ModelError(f"{path}.addresses", "clients need at least one address to connect to")
    prefixes = ", ".join(map(str, anycast.prefixes)) or "none"
    families: dict[int, Address] = {}
    for i, address in enumerate(anycast.addresses):
        where = f"{path}.addresses[{i}]"
        if not _contains(anycast.prefixes, address):
            yield ModelError(where, f"{address} is in none of the announced prefixes ({prefixes})")
        if address.version in families:
            yield ModelError(
                where,
                f"a second IPv{address.version} address beside "
                f"{families[address.version]}; a node answers from one per family",
            )
        families.setdefault(address.version, address)
    for i, prefix in enumerate(anycast.prefixes):
        if not any(address in prefix for address in anycast.addresses):
            yield ModelError(
                f"{path}.prefixes[{i}]",
                f"no anycast address is in {prefix}; "
                "announcing it would attract packets that nothing answers",
            )


def _pools(pools: Dual, path: str) -> Iterator[ModelError]:
    for pool, where in _dual(pools, path):
        if pool.num_addresses <= FIRST_CLIENT_OFFSET + 1:
            yield ModelError(
                where,
                f"{pool} has no room for clients; the first "
                f"{FIRST_CLIENT_OFFSET} addresses are the deployment's own",
            )


def _loopbacks(loopbacks: Dual, path: str) -> Iterator[ModelError]:
    fabric = FabricSpec().networks.v4
    if loopbacks.v4.prefixlen < fabric.prefixlen:
        yield ModelError(
            f"{path}.v4",
            f"{loopbacks.v4} is larger than a /{fabric.prefixlen}; nodes take their addresses on "
            f"the inter-node path, {fabric}, from the low bits of their loopbacks",
        )


def _edge_loopbacks(deployment: Deployment, path: str) -> Iterator[ModelError]:
    taken: list[tuple[object, str]] = []
    for i, datacentre in enumerate(deployment.datacentres):
        for j, node in enumerate(datacentre.nodes):
            where = f"{path}.datacentres[{i}].nodes[{j}].id"
            taken += [
                (network.network_address + node.id, where)
                for network in deployment.loopbacks
                if 0 < node.id < network.num_addresses
            ]
    for i, datacentre in enumerate(deployment.datacentres):
        for j, edge in enumerate(datacentre.edges):
            for k, loopback in enumerate(edge.loopbacks):
                where = f"{path}.datacentres[{i}].edges[{j}].loopbacks[{k}]"
                taken.append((loopback, where))
                if not _contains(deployment.loopbacks, loopback):
                    yield ModelError(
                        where,
                        f"{loopback} is in neither of loopbacks "
                        f"{deployment.loopbacks.v4}, {deployment.loopbacks.v6}",
                    )
    # Node ids have their own rule for duplicates; here only what an edge router takes counts.
    yield from (fault for fault in duplicates(taken) if ".loopbacks[" in fault.path)


def _control_plane(deployment: Deployment, path: str) -> Iterator[ModelError]:
    addresses = deployment.control_plane.addresses
    where = f"{path}.control_plane.addresses"
    if not addresses and not deployment.control_plane.names:
        yield ModelError(where, "agents need at least one address to reach the control plane")
    yield from duplicates((address, f"{where}[{i}]") for i, address in enumerate(addresses))
    for i, address in enumerate(addresses):
        for network, owner in _client_side(deployment, path):
            if address in network:
                yield ModelError(
                    f"{where}[{i}]",
                    f"{address} is inside {network} of {owner}; "
                    "the control plane has to be reachable without the VPN",
                )
        if address.is_unspecified or address.is_multicast:
            yield ModelError(f"{where}[{i}]", f"{address} is no host's address")
