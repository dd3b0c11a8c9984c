"""At least one edge router is reached: its link is up and its BGP session too. A node
without edge routers (behind a load balancer) has a link towards a gateway.

BFD tears the session down within a fraction of a second when the router is gone, so the
session's state says it all; the link is looked at because its loss is seen at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate
from anycastle.agent.links import LinkFlag, flags
from anycastle.model.node import EdgePeer, Gateway


def probe(around: Surroundings) -> Probe:
    return Probe("uplink", Severity.HARD, immediate(lambda: complaint(around)))


def complaint(around: Surroundings) -> str:
    if around.spec.gateways and not around.spec.edges:
        return _links(around.spec.gateways)
    problems = [problem(edge, around) for edge in around.spec.edges]
    return "" if not all(problems) else "; ".join(problems) or "the node has no edge router"


def _links(gateways: Sequence[Gateway]) -> str:
    down = [gateway.device for gateway in gateways if not _has_link(gateway.device)]
    return f"{', '.join(down)} has no link" if len(down) == len(gateways) else ""


def _has_link(device: str) -> bool:
    state = flags(device)
    return state is not None and LinkFlag.RUNNING in state


def problem(edge: EdgePeer, around: Surroundings) -> str:
    """What is wrong with this uplink, "" when it works."""
    if not _has_link(edge.device):
        return f"{edge.device} has no link"
    peerings = around.routing.peerings if around.routing else ()
    own = [peering for peering in peerings if peering.name.startswith(f"edge-{edge.name}-")]
    if any(peering.up for peering in own):
        return ""
    details = ", ".join(peering.detail for peering in own if peering.detail)
    return f"no BGP session with {edge.name}" + (f" ({details})" if details else "")
