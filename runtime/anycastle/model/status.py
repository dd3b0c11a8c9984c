"""What a node says about itself: to the control plane, to its operator, in events."""

from __future__ import annotations

import enum
from typing import Any

import msgspec


class NodeState(enum.StrEnum):
    """Health of a node. UNKNOWN is the control plane's word for a silent one."""

    UP = "UP"
    DEMOTED = "DEMOTED"
    DRAINING = "DRAINING"
    DOWN = "DOWN"
    UNKNOWN = "UNKNOWN"


class ProbeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One probe's last result. detail: empty when good."""

    name: str
    healthy: bool
    detail: str = ""


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """A confirmed WireGuard session that this node owns.

    client: id. endpoint: `address:port`. latest_handshake: epoch seconds.
    received, sent: bytes since the peer was added.
    """

    client: str
    endpoint: str
    latest_handshake: float
    received: int = 0
    sent: int = 0


class DrainPhase(enum.StrEnum):
    """How far a drain is.

    LEAVING: the node is announced still, as the last choice. MOVING: withdrawn, sessions
    are left. DRAINED: none is. OVERDUE: the deadline passed before that.
    """

    LEAVING = "leaving"
    MOVING = "moving"
    DRAINED = "drained"
    OVERDUE = "overdue"


class DrainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A node's word on the order that it carries out.

    since, deadline: of that order. ready: but for the order the node would announce now.
    """

    phase: DrainPhase
    since: float
    deadline: float
    ready: bool


class Takeovers(msgspec.Struct, frozen=True, kw_only=True):
    """What a node did about other nodes' clients, since its agent started.

    confirmed, gave_up: takeovers that ended so. relayed: packets sent on to their owners.
    delivered: packets that other nodes sent on and that were for a session here.
    """

    confirmed: int = 0
    gave_up: int = 0
    relayed: int = 0
    delivered: int = 0


class NodeReport(msgspec.Struct, frozen=True, kw_only=True):
    """A node's whole status, sent on change and every 10 s.

    revision: of the feed that the kernel holds. routing: `bird` or `frr`.
    wireguard: `kernel` or `userspace`. at: epoch seconds on the node's clock.
    reason: why the state is not UP, empty when it is.
    drain: only while an operator's order to drain stands.
    takeover: which packet path serves it (`bpf`, `nftables`), `none: REASON` when there is
    none, `off` when it is switched off; empty before that is known.
    """

    name: str
    datacentre: str
    state: NodeState
    announcing: bool
    revision: int
    routing: str
    wireguard: str
    version: str
    at: float
    reason: str = ""
    probes: tuple[ProbeStatus, ...] = ()
    sessions: tuple[Session, ...] = ()
    drain: DrainStatus | None = None
    takeover: str = ""
    takeovers: Takeovers = Takeovers()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened. kind: dotted, e.g. `node.announced`, `session.confirmed`.

    id and node are filled by the control plane when it stores the event.
    """

    kind: str
    at: float
    message: str
    node: str | None = None
    client: str | None = None
    data: dict[str, Any] = {}
    id: int | None = None
