"""Numbers in their ranges: ASNs, ports, times, sizes of packets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from anycastle.model.codec import ModelError
from anycastle.model.deployment import Bfd, Deployment, Health
from anycastle.model.node import FabricSpec

RESERVED_ASNS = {
    23456: "AS_TRANS (RFC 6793)",
    65535: "reserved (RFC 7300)",
}
MAX_ASN = 2**32 - 2
"""The last one is reserved (RFC 7300)."""

WIREGUARD_OVERHEAD = {4: 20 + 8 + 32, 6: 40 + 8 + 32}
"""Bytes that a tunnelled packet grows by: outer IP, UDP, type 4 header and tag."""

IPV6_MINIMUM_MTU = 1280
PACKET_PATH_CLIENTS = (1_000, 1_000_000)
"""A node's packet path takes 700 KB of kernel memory at the least, 700 MB at the most."""
MAX_KEEPALIVE = 25
"""NAT routers and load balancers forget an idle UDP flow after 30 s."""


def check(deployment: Deployment, path: str) -> Iterator[ModelError]:
    """Faults of numbers."""
    yield from _asns(deployment, path)
    yield from port(deployment.anycast.port, f"{path}.anycast.port")
    if deployment.anycast.port == (vxlan := FabricSpec().port):
        yield ModelError(f"{path}.anycast.port", f"{vxlan} is the inter-node path's (VXLAN)")
    yield from port(deployment.control_plane.port, f"{path}.control_plane.port")
    yield from _mtu(deployment, path)
    keepalive = deployment.client_keepalive
    yield from within(keepalive, 1, MAX_KEEPALIVE, f"{path}.client_keepalive", " seconds")
    yield from _health(deployment.health, f"{path}.health")
    room = deployment.takeover.clients
    yield from within(room, *PACKET_PATH_CLIENTS, f"{path}.takeover.clients")
    yield from chain.from_iterable(
        _bfd(edge.bfd, f"{path}.datacentres[{i}].edges[{j}].bfd")
        for i, datacentre in enumerate(deployment.datacentres)
        for j, edge in enumerate(datacentre.edges)
    )


def within(
    value: float, low: float, high: float, path: str, unit: str = ""
) -> Iterator[ModelError]:
    if not low <= value <= high:
        yield ModelError(path, f"{value} is not between {low} and {high}{unit}")


def port(value: int, path: str) -> Iterator[ModelError]:
    return within(value, 1, 65535, path)


def asn(value: int, path: str) -> Iterator[ModelError]:
    if value in RESERVED_ASNS:
        yield ModelError(path, f"AS {value} is {RESERVED_ASNS[value]}; no router may use it")
    yield from within(value, 1, MAX_ASN, path)


def _asns(deployment: Deployment, path: str) -> Iterator[ModelError]:
    yield from asn(deployment.asn, f"{path}.asn")
    for i, datacentre in enumerate(deployment.datacentres):
        for j, edge in enumerate(datacentre.edges):
            where = f"{path}.datacentres[{i}].edges[{j}].asn"
            yield from asn(edge.asn, where)
            if edge.asn == deployment.asn:
                yield ModelError(
                    where,
                    f"AS {edge.asn} is the nodes' own; nodes and their edge "
                    "routers speak eBGP, so theirs differ",
                )


def _mtu(deployment: Deployment, path: str) -> Iterator[ModelError]:
    fabric, client = deployment.fabric.mtu, deployment.client_mtu
    yield from within(fabric, IPV6_MINIMUM_MTU, 65535, f"{path}.fabric.mtu", " bytes")
    versions = [address.version for address in deployment.anycast.addresses]
    overhead = max((WIREGUARD_OVERHEAD[version] for version in versions), default=0)
    if fabric - overhead < IPV6_MINIMUM_MTU:
        yield ModelError(
            f"{path}.fabric.mtu",
            f"{fabric} leaves {fabric - overhead} bytes inside "
            f"the tunnel; IPv6 needs {IPV6_MINIMUM_MTU}",
        )
        return
    if not IPV6_MINIMUM_MTU <= client <= fabric - overhead:
        yield ModelError(
            f"{path}.client_mtu",
            f"{client} is not between {IPV6_MINIMUM_MTU} (the least for IPv6) and "
            f"{fabric - overhead} (fabric.mtu less WireGuard's {overhead} bytes)",
        )


def _health(health: Health, path: str) -> Iterator[ModelError]:
    yield from within(health.interval, 0.1, 60.0, f"{path}.interval", " seconds")
    yield from within(health.rise, 1, 100, f"{path}.rise", " rounds")
    yield from within(health.fall, 1, 100, f"{path}.fall", " rounds")
    yield from within(health.hold_down, 0.0, 3600.0, f"{path}.hold_down", " seconds")
    if health.hold_down_max < health.hold_down:
        yield ModelError(
            f"{path}.hold_down_max",
            f"{health.hold_down_max} is below hold_down, {health.hold_down}, which grows up to it",
        )


def _bfd(bfd: Bfd, path: str) -> Iterator[ModelError]:
    yield from within(bfd.interval, 10, 60000, f"{path}.interval", " milliseconds")
    yield from within(bfd.multiplier, 2, 255, f"{path}.multiplier")
