"""The deployment as a whole, out of the stack's output `settings`: the document that was deployed."""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Any

from policy.rule import Finding, Severity, Stack, StackRule, Unknowns
from policy.settings import Settings
from policy.values import each, look

VPC = "aws:ec2/vpc:Vpc"
ROUTE_SERVER = "aws:vpc/routeServer:RouteServer"
LONGEST = {4: 24, 6: 48}
"""What the internet's routers accept (RFC 7454, section 6.1.3)."""
OVERHEAD = {4: 60, 6: 80}
"""IP, UDP and WireGuard around a client's packet."""
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def datacentres(stack: Stack) -> list[Any]:
    return list(each(stack.outputs, "settings.datacentres"))


def enough_nodes(stack: Stack, settings: Settings) -> Iterator[Finding]:
    if settings.is_rehearsal(stack.name):
        return
    for datacentre in datacentres(stack):
        count = len(each(datacentre, "nodes"))
        if count < settings.fewest_nodes:
            yield Finding(f"datacentre {look(datacentre, 'name')} has {count} node(s)")


ANNOUNCED_BY_AWS = ("accelerator", "nlb")


def enough_datacentres(stack: Stack, settings: Settings) -> Iterator[Finding]:
    found = datacentres(stack)
    if found and not settings.is_rehearsal(stack.name) and len(found) < settings.fewest_datacentres:
        yield Finding(f"the deployment has {len(found)} datacentre(s)")


def prefixes(stack: Stack, _: Settings) -> Iterator[Finding]:
    """Of what nodes announce; an accelerator's or a load balancer's addresses AWS announces."""
    entries = [look(one, "aws.entry") for one in each(stack.outputs, "settings.datacentres")]
    if entries and all(entry in ANNOUNCED_BY_AWS for entry in entries):
        return
    for text in each(stack.outputs, "settings.anycast.prefixes"):
        network = ipaddress.ip_network(text)
        longest = LONGEST[network.version]
        if network.is_global and network.prefixlen > longest:
            yield Finding(f"{text} is longer than /{longest}, and most of the internet drops it")


def pools_apart(stack: Stack, _: Settings) -> Iterator[Finding]:
    """Pools against every VPC of this stack, and every AWS network of the deployment."""
    pools = {
        name: ipaddress.ip_network(look(stack.outputs, f"settings.{name}"))
        for name in ("pools.v4", "pools.v6", "loopbacks.v4", "loopbacks.v6")
        if look(stack.outputs, f"settings.{name}") is not None
    }
    for where, network in cloud_networks(stack):
        for name, pool in pools.items():
            if pool.version == network.version and pool.overlaps(network):
                yield Finding(f"{name} {pool} overlaps {where} {network}")


def cloud_networks(stack: Stack) -> Iterator[tuple[str, Network]]:
    for vpc in stack.of_type(VPC):
        if (block := look(vpc.props, "cidrBlock")) is not None:
            yield f"the VPC {vpc.name}", ipaddress.ip_network(block)
    for datacentre in datacentres(stack):
        if (block := look(datacentre, "aws.network")) is not None:
            yield f"the network of {look(datacentre, 'name')}", ipaddress.ip_network(block)
    if (block := look(stack.outputs, "settings.aws.control.network")) is not None:
        yield "the control plane's network", ipaddress.ip_network(block)


def unique_numbers(stack: Stack, _: Settings) -> Iterator[Finding]:
    ids = Counter(
        look(node, "id") for datacentre in datacentres(stack) for node in each(datacentre, "nodes")
    )
    for number, count in ids.items():
        if count > 1:
            yield Finding(f"{count} nodes have the id {number:.0f}, which makes their router id")
    own = number_at(stack.outputs, "settings.asn")
    if own is None:
        return
    if own in edge_asns(stack):
        yield Finding(f"AS {own} is the nodes' own, and a neighbour's as well")
    for server in stack.of_type(ROUTE_SERVER):
        if own == number_at(server.props, "amazonSideAsn"):
            yield Finding(f"AS {own} is the nodes' own, and the Route Server's", server)


def edge_asns(stack: Stack) -> set[int | None]:
    """Of every neighbour outside of the nodes' AS."""
    found: set[int | None] = set()
    for datacentre in datacentres(stack):
        found |= {number_at(edge, "asn") for edge in each(datacentre, "edges")}
        found.add(number_at(datacentre, "aws.route_server.asn"))
    return found - {None}


def number_at(props: Any, path: str) -> int | None:
    """Numbers arrive as floats, and some properties are texts."""
    found = look(props, path)
    return None if found is None else int(float(found))


def mtu_fits(stack: Stack, settings: Settings) -> Iterator[Finding]:
    mtu = look(stack.outputs, "settings.fabric.mtu")
    inner = look(stack.outputs, "settings.client_mtu")
    if mtu is None or inner is None:
        return
    versions = {
        ipaddress.ip_address(text).version
        for text in each(stack.outputs, "settings.anycast.addresses")
    }
    overhead = max((OVERHEAD[version] for version in versions), default=OVERHEAD[6])
    if inner + overhead > mtu:
        yield Finding(f"client MTU {inner:g} and {overhead} around it exceed the fabric's {mtu:g}")
    if len(datacentres(stack)) > 1 and mtu > settings.internet_mtu:
        yield Finding(
            f"the fabric's MTU is {mtu:g}, and {settings.internet_mtu} is what passes between "
            "datacentres"
        )


def keepalive_below(stack: Stack, settings: Settings) -> Iterator[Finding]:
    keepalive = look(stack.outputs, "settings.client_keepalive")
    entries = {look(datacentre, "aws.entry") for datacentre in datacentres(stack)}
    if keepalive is None:
        return
    for way, seconds in settings.idle_timeouts.items():
        if (way == "nat" or way in entries) and keepalive > seconds - settings.idle_margin:
            yield Finding(
                f"client keepalive {keepalive:g} s is not {settings.idle_margin:g} s below the "
                f"{seconds:g} s after which {way} forgets a client"
            )


RULES = (
    StackRule(
        name="nodes-per-datacentre",
        promise="No datacentre depends on one node",
        remedy="add nodes, or name the stack in policy/config.yaml, `rehearsals`",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        check=enough_nodes,
    ),
    StackRule(
        name="datacentres-per-deployment",
        promise="The deployment does not depend on one datacentre",
        remedy="add a datacentre, or name the stack in policy/config.yaml, `rehearsals`",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        check=enough_datacentres,
    ),
    StackRule(
        name="prefixes-routable",
        promise="Public anycast prefixes are not longer than /24 and /48",
        remedy="announce the whole /24 or /48; addresses inside of it may be few",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        check=prefixes,
    ),
    StackRule(
        name="pools-apart-from-vpcs",
        promise="Client pools and loopbacks overlap no VPC",
        remedy="give the VPC or the pool another network; clients could not be answered",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        check=pools_apart,
    ),
    StackRule(
        name="unique-asns-and-router-ids",
        promise="AS numbers and router ids are nobody else's",
        remedy="give each node an id of its own, and neighbours an AS other than the nodes'",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        check=unique_numbers,
    ),
    StackRule(
        name="mtu-consistent",
        promise="A client's full packet fits through everything between its node and others",
        remedy="lower `client_mtu`, or set `fabric.mtu` to what the whole path carries",
        severity=Severity.MEDIUM,
        unknowns=Unknowns.REFUSE,
        check=mtu_fits,
    ),
    StackRule(
        name="keepalive-below-timeouts",
        promise="Clients speak before anything on the way forgets them",
        remedy="lower `client_keepalive`",
        severity=Severity.MEDIUM,
        unknowns=Unknowns.REFUSE,
        check=keepalive_below,
    ),
)
