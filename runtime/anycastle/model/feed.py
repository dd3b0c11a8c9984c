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


class Snapshot(msgspec.Struct, frozen=True, kw_only=True, tag="snapshot"):
    """The whole state at `revision`. epoch: changes when revisions start anew."""

    deployment: str
    epoch: str
    revision: int
    clients: tuple[Client, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True, tag="change"):
    """One committed transaction. put: clients as they are now; remove: client ids."""

    after: int
    revision: int
    reason: str
    put: tuple[Client, ...] = ()
    remove: tuple[str, ...] = ()


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag="heartbeat"):
    """Says that the feed lives. at: epoch seconds on the control plane's clock."""

    revision: int
    at: float


Frame = Snapshot | Change | Heartbeat
