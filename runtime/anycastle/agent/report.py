"""What a node tells about itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anycastle import __version__
from anycastle.agent.health.machine import Machine
from anycastle.agent.health.rounds import Result
from anycastle.agent.sessions import Owned
from anycastle.agent.takeover_facts import TakeoverFacts
from anycastle.model.node import NodeSpec
from anycastle.model.status import DrainStatus, NodeReport, NodeState, Session


def node_report(
    spec: NodeSpec,
    machine: Machine,
    results: Sequence[Result],
    owned: Iterable[Owned],
    *,
    revision: int,
    wireguard: str,
    at: float,
    takeover: TakeoverFacts,
    drain: DrainStatus | None = None,
) -> NodeReport:
    """revision: of the feed that the kernel holds. at: epoch seconds."""
    return NodeReport(
        name=spec.name,
        datacentre=spec.datacentre,
        state=machine.state,
        announcing=machine.announcing,
        revision=revision,
        routing=spec.routing.value,
        wireguard=wireguard,
        version=__version__,
        at=at,
        reason="" if machine.state is NodeState.UP else machine.reason,
        probes=tuple(result.status() for result in results),
        sessions=tuple(session(one) for one in owned),
        drain=drain,
        takeover=takeover.path,
        takeovers=takeover.takeovers(),
    )


def session(owned: Owned) -> Session:
    return Session(
        client=owned.client.id,
        endpoint=str(owned.endpoint),
        latest_handshake=owned.handshake,
        received=owned.received,
        sent=owned.sent,
    )
