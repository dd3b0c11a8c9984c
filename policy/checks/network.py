"""What the internet may reach."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from policy.rule import Resource, ResourceRule, Severity, Unknowns
from policy.settings import Settings
from policy.values import each, look

INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
OLD_RULE = "aws:ec2/securityGroupRule:SecurityGroupRule"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
TYPES = frozenset({INGRESS_RULE, OLD_RULE, GROUP, DEFAULT_GROUP})

EVERYTHING = ("-1", "all")
WIDEST = {4: 8, 6: 16}
"""A source network with a shorter prefix is the whole internet, whatever it is called."""


@dataclass(frozen=True)
class Opening:
    """Ports `first` to `last` of a protocol, from networks. ICMP has types instead of ports."""

    protocol: str
    first: int
    last: int
    sources: tuple[str, ...]

    def covers(self, protocol: str, port: int) -> bool:
        return self.protocol in (protocol, *EVERYTHING) and self.first <= port <= self.last

    @property
    def from_world(self) -> tuple[str, ...]:
        return tuple(source for source in self.sources if is_world(source))

    def __str__(self) -> str:
        if self.protocol in EVERYTHING:
            return "everything"
        ports = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        return f"{self.protocol} {ports}"


def is_world(source: str) -> bool:
    network = ipaddress.ip_network(source, strict=False)
    return network.prefixlen < WIDEST[network.version]


def openings(resource: Resource) -> Iterator[Opening]:
    """What a resource lets in. Raises NotKnown."""
    props = resource.props
    if resource.type == INGRESS_RULE:
        yield opening(props, ("cidrIpv4", "cidrIpv6"), "ipProtocol")
    elif resource.type == OLD_RULE:
        if look(props, "type") == "ingress":
            yield opening(props, ("cidrBlocks", "ipv6CidrBlocks"), "protocol")
    else:
        for entry in each(props, "ingress"):
            yield opening(entry, ("cidrBlocks", "ipv6CidrBlocks"), "protocol")


def opening(props: Any, sources: tuple[str, ...], protocol: str) -> Opening:
    name = str(look(props, protocol, "-1"))
    wide = name in EVERYTHING
    return Opening(
        {"6": "tcp", "17": "udp"}.get(name, name),
        0 if wide else int(look(props, "fromPort", 0)),
        65535 if wide else int(look(props, "toPort", 65535)),
        tuple(source for field in sources for source in each(props, field)),
    )


def only_service_port(resource: Resource, settings: Settings) -> Iterator[str]:
    for found in openings(resource):
        if found.from_world and not (is_service(found, settings) or is_path_mtu(found)):
            yield f"{found} is open to {', '.join(found.from_world)}"


def is_service(found: Opening, settings: Settings) -> bool:
    ports = set(range(found.first, found.last + 1)) if found.last - found.first < 8 else {-1}
    return found.protocol == "udp" and ports <= set(settings.public_ports)


def is_path_mtu(found: Opening) -> bool:
    """ICMP "fragmentation needed" (type 3, code 4): any router on the way may say it (RFC 1191)."""
    return found.protocol in ("icmp", "1") and (found.first, found.last) == (3, 4)


def ssh_closed(resource: Resource, _: Settings) -> Iterator[str]:
    for found in openings(resource):
        if found.covers("tcp", 22) and found.from_world:
            yield f"SSH is open to {', '.join(found.from_world)}"


RULES = (
    ResourceRule(
        name="only-service-port-open",
        promise="The internet reaches nothing but the service port",
        remedy="name the networks that need it as sources; the service ports stand in "
        "policy/config.yaml, `public_ports`",
        severity=Severity.CRITICAL,
        unknowns=Unknowns.REFUSE,
        types=TYPES,
        check=only_service_port,
    ),
    ResourceRule(
        name="ssh-not-open",
        promise="Nobody but operators reaches SSH",
        remedy="give the operators' networks in `aws.ssh.ranges`, or none and a jump host",
        severity=Severity.CRITICAL,
        unknowns=Unknowns.REFUSE,
        types=TYPES,
        check=ssh_closed,
    ),
)
