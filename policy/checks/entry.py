"""Load balancers, the accelerator and BGP: the way of a client's packets to a node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policy.rule import Finding, Resource, ResourceRule, Severity, Stack, StackRule, Unknowns
from policy.settings import Settings
from policy.values import each, look, yes

TARGET_GROUP = "aws:lb/targetGroup:TargetGroup"
LISTENER = "aws:globalaccelerator/listener:Listener"
ENDPOINT_GROUP = "aws:globalaccelerator/endpointGroup:EndpointGroup"
PEER = "aws:vpc/routeServerPeer:RouteServerPeer"
OF_CLIENTS = ("UDP", "TCP_UDP")


def serves_clients(resource: Resource) -> bool:
    return resource.type != TARGET_GROUP or look(resource.props, "protocol") in OF_CLIENTS


def keeps_clients(resource: Resource, _: Settings) -> Iterator[str]:
    props = resource.props
    if resource.type == TARGET_GROUP and serves_clients(resource):
        if not yes(props, "stickiness.enabled") or look(props, "stickiness.type") != "source_ip":
            yield "packets of one client may go to any node: stickiness is not source_ip"
        if not yes(props, "preserveClientIp"):
            yield "nodes see the load balancer's address instead of the client's"
    elif resource.type == LISTENER:
        if look(props, "clientAffinity") != "SOURCE_IP":
            yield "packets of one client may go to any region: client affinity is not SOURCE_IP"
    elif resource.type == ENDPOINT_GROUP:
        for endpoint in each(props, "endpointConfigurations"):
            if not yes(endpoint, "clientIpPreservationEnabled"):
                yield "nodes see the accelerator's address instead of the client's"


def asks_agent(resource: Resource, settings: Settings) -> Iterator[str]:
    if not serves_clients(resource):
        return
    props, protocol = resource.props, ""
    if resource.type == TARGET_GROUP:
        port: Any = look(props, "healthCheck.port", "traffic-port")
        protocol = look(props, "healthCheck.protocol", "")
    else:
        port = look(props, "healthCheckPort", "the listener's port")
        protocol = look(props, "healthCheckProtocol", "TCP")
    if str(port).partition(".")[0] != str(settings.agent_port):
        yield f"health is asked at {port}, where no agent answers"
    if protocol not in settings.health_checks:
        yield f"health is asked by {protocol or 'no protocol'}, which is not the agent's"


def bfd(resource: Resource, _: Settings) -> Iterator[str]:
    if look(resource.props, "bgpOptions.peerLivenessDetection") != "bfd":
        yield "a dead node is noticed by BGP's hold time only (90 s), not by BFD"


def bfd_of_edges(stack: Stack, _: Settings) -> Iterator[Finding]:
    """Of edge routers in the deployment's own settings: 3 lost packets within a second."""
    for datacentre in each(stack.outputs, "settings.datacentres"):
        for edge in each(datacentre, "edges"):
            detection = look(edge, "bfd.interval", 0) * look(edge, "bfd.multiplier", 0)
            if not 0 < detection <= 1000:
                yield Finding(
                    f"a dead node is noticed by {look(edge, 'name')} after {detection:g} ms, "
                    "not within 1000"
                )


RULES = (
    ResourceRule(
        name="entry-keeps-clients",
        promise="A client stays with its node, and the node sees the client's own address",
        remedy="set stickiness source_ip and preserve_client_ip on the target group, SOURCE_IP on "
        "the accelerator's listener, client_ip_preservation_enabled on its endpoints",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        types=frozenset({TARGET_GROUP, LISTENER, ENDPOINT_GROUP}),
        check=keeps_clients,
    ),
    ResourceRule(
        name="health-check-on-agent",
        promise="Load balancers ask the agent whether a node may serve",
        remedy="point the health check at the agent's port (policy/config.yaml, `agent_port`)",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        types=frozenset({TARGET_GROUP, ENDPOINT_GROUP}),
        check=asks_agent,
    ),
    ResourceRule(
        name="bfd-on-peerings",
        promise="Every BGP peering of a VPC Route Server has BFD",
        remedy="set bgp_options with peer_liveness_detection=bfd",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        types=frozenset({PEER}),
        check=bfd,
    ),
    StackRule(
        name="bfd-on-edges",
        promise="Every edge router notices a dead node within a second, by BFD",
        remedy="set `edges[].bfd` to an interval and a multiplier of at most 1000 ms together",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        check=bfd_of_edges,
    ),
)
