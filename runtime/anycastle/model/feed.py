"""Frames of the control feed: a snapshot first, then changes in order.

On the wire each frame is its length in bytes (u32, big endian) and a MessagePack
document. A change applies to exactly the revision before it: `after` is that
revision. An agent that sees another asks for a snapshot.
"""

from __future__ import annotations

import msgspec

from anycastle.model.client import Client

MAX_FRAME = 256 << 20
"""A longer frame is an error: 100,000 clients need about 10 MB."""


class NodeOrder(msgspec.Struct, frozen=True, kw_only=True):
    """What operators want of one node.

    drain: leave service, and stay out of it until told otherwise; False: an earlier order
    is called off, and the rest says nothing. since, deadline: epoch seconds on the control
    plane's clock; after the deadline nobody waits for sessions that are left.
    force: leave even where nobody else announces.
    """

    name: str
    drain: bool
    since: float = 0.0
    deadline: float = 0.0
    reason: str = ""
    force: bool = False


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot"):
    """The whole state at `revision`. epoch: changes when revisions start anew.

    nodes: those of which something is wanted; the others are to serve.
    """

    deployment: str
    epoch: str
    revision: int
    clients: tuple[Client, ...]
    nodes: tuple[NodeOrder, ...] = ()


class Change(msgspec.Struct, frozen=True, kw_only=True, tag="change"):
    """One committed transaction. put: clients as they are now; remove: client ids.

    nodes: orders that are new, changed or called off.
    """

    after: int
    revision: int
    reason: str
    put: tuple[Client, ...] = ()
    remove: tuple[str, ...] = ()
    nodes: tuple[NodeOrder, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """Says that the feed lives. at: epoch seconds on the control plane's clock."""

    revision: int
    at: float


Frame = Snapshot | Change | Heartbeat
