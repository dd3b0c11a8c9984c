"""At least one edge router is reached: its link is up and its BGP session too.

BFD tears the session down within a fraction of a second when the router is gone, so the
session's state says it all; the link is looked at because its loss is seen at once.
"""

from __future__ import annotations

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate
from anycastle.agent.links import LinkFlag, flags
from anycastle.model.node import EdgePeer


def probe(around: Surroundings) -> Probe:
    return Probe("uplink", Severity.HARD, immediate(lambda: complaint(around)))


def complaint(around: Surroundings) -> str:
    problems = [problem(edge, around) for edge in around.spec.edges]
    return "" if not all(problems) else "; ".join(problems) or "the node has no edge router"


def problem(edge: EdgePeer, around: Surroundings) -> str:
    """What is wrong with this uplink, "" when it works."""
    state = flags(edge.device)
    if state is None or LinkFlag.RUNNING not in state:
        return f"{edge.device} has no link"
    peerings = around.routing.peerings if around.routing else ()
    own = [peering for peering in peerings if peering.name.startswith(f"edge-{edge.name}-")]
    if any(peering.up for peering in own):
        return ""
    details = ", ".join(peering.detail for peering in own if peering.detail)
    return f"no BGP session with {edge.name}" + (f" ({details})" if details else "")
