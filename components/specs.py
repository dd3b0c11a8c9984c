"""The documents that bootstrap writes: node spec, peers, control spec. Pure."""

from __future__ import annotations

import json

import msgspec

from anycastle.model.addresses import Address
from anycastle.model.codec import Key, to_plain
from anycastle.model.control import AuditBucket, ControlSpec
from anycastle.model.deployment import Datacentre, Deployment, Node
from anycastle.model.node import ControlEndpoint, FabricSpec, NodeSpec, WireGuardSpec
from components.attachment import Attachment, to_edges
from components.network import loopbacks

VXLAN_OVERHEAD = 50
"""Bytes: inner Ethernet 14, VXLAN 8, UDP 8, outer IPv4 20 (RFC 7348)."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
"""Names under which the control-plane host itself checks its API."""


def node_spec(
    deployment: Deployment,
    datacentre: Datacentre,
    node: Node,
    attachment: Attachment | None = None,
) -> NodeSpec:
    """All that the agent on `node` has to know. attachment: links to edge routers by default."""
    attached = attachment or to_edges(deployment, datacentre, node)
    return NodeSpec(
        deployment=deployment.name,
        name=node.name,
        datacentre=datacentre.name,
        asn=deployment.asn,
        loopbacks=loopbacks(deployment, node),
        anycast=attached.anycast,
        pools=deployment.pools,
        routing=node.routing or datacentre.routing,
        edges=attached.edges,
        services=datacentre.services,
        wireguard=WireGuardSpec(mtu=deployment.client_mtu),
        fabric=FabricSpec(mtu=deployment.fabric.mtu - VXLAN_OVERHEAD),
        health=deployment.health,
        takeover=deployment.takeover,
        control=ControlEndpoint(urls=control_urls(deployment)),
        secrets=attached.secrets,
        hold_anycast=attached.hold_anycast,
        gateways=attached.gateways,
        underlay=attached.underlay,
    )


def control_urls(deployment: Deployment) -> tuple[str, ...]:
    """Where agents reach the API."""
    plane = deployment.control_plane
    return tuple(url(where, plane.port) for where in (*plane.names, *plane.addresses))


def url(address: Address | str, port: int) -> str:
    """`https://host:port`, IPv6 in brackets (RFC 3986, section 3.2.2)."""
    host = f"[{address}]" if ":" in str(address) else str(address)
    return f"https://{host}:{port}"


def control_spec(
    deployment: Deployment,
    service_public_key: Key,
    management_address: str,
    *,
    database: str = "dbname=anycastle",
    audit: AuditBucket | None = None,
) -> ControlSpec:
    """What the API has to know. management_address: where operators reach it.

    database: a libpq connection string. audit: where events are kept for good.
    """
    plane = deployment.control_plane
    names = [*plane.names, *map(str, plane.addresses), management_address, *LOCAL_NAMES]
    return ControlSpec(
        deployment=deployment.name,
        anycast=deployment.anycast,
        pools=deployment.pools,
        service_public_key=service_public_key,
        client_mtu=deployment.client_mtu,
        client_keepalive=deployment.client_keepalive,
        allowed_networks=tuple(
            service for datacentre in deployment.datacentres for service in datacentre.services
        ),
        port=plane.port,
        names=tuple(dict.fromkeys(names)),
        database=database,
        audit=audit,
    )


def document(value: msgspec.Struct) -> str:
    """JSON over several lines, so that a preview shows which setting differs."""
    return json.dumps(to_plain(value), indent=2)
