"""Nodes: list, show, drain, resume, remove."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from anycastle.control import compile as compiler
from anycastle.control import draining
from anycastle.control.api.route import Call
from anycastle.control.database import Connection
from anycastle.control.errors import Invalid
from anycastle.control.store import drains, events, nodes
from anycastle.control.store.changes import changing
from anycastle.model.api import NodeDrain, NodeView
from anycastle.model.feed import NodeOrder
from anycastle.model.status import Event

LONGEST = 7 * 86400.0
"""Seconds that a drain may wait for sessions."""
REASON = 200
"""Characters of a reason."""


async def list_all(call: Call) -> list[NodeView]:
    async with call.services.database.reading() as connection:
        return await _views(call, connection)


async def show(call: Call) -> NodeView:
    async with call.services.database.reading() as connection:
        return await _view(call, connection)


async def drain(call: Call) -> NodeView:
    """Order a node out of service. An order that stands gets the new deadline and reason.

    The lock on the deployment's row makes drains come one after another, so that two can't
    each take the other for the node that stays.
    """
    body: NodeDrain = call.body
    _check(body)
    name = call.path["name"]
    async with changing(call.services.database, f"node {name} asked to drain") as writing:
        present = await _view(call, writing.connection)
        if present.drain is None and not body.force:
            draining.require_successor(name, await _views(call, writing.connection))
        row = await drains.put(
            writing.connection,
            name,
            seconds=body.deadline_seconds,
            reason=body.reason,
            force=body.force,
            actor=call.actor,
        )
        writing.orders.append(compiler.order(row))
        await events.record(writing.connection, call.actor, [_drain_asked(call, name, body)])
        return await _view(call, writing.connection)


async def resume(call: Call) -> NodeView:
    """Call a drain off. A node that was not asked to drain stays as it is."""
    name = call.path["name"]
    async with changing(call.services.database, f"node {name} asked to resume") as writing:
        await nodes.read_view(writing.connection, name)  # raises NotFound
        if await drains.delete(writing.connection, name):
            writing.orders.append(NodeOrder(name=name, drain=False))
            event = Event(
                kind="node.resume_asked",
                at=time.time(),
                message=f"{call.actor} asked node {name} to come back into service",
                node=name,
            )
            await events.record(writing.connection, call.actor, [event])
        return await _view(call, writing.connection)


async def remove(call: Call) -> None:
    """Forget a node that left the deployment; its certificates end with it."""
    name = call.path["name"]
    async with call.services.database.writing() as connection:
        await nodes.delete(connection, name)
        event = Event(
            kind="node.removed",
            at=time.time(),
            message=f"{call.actor} removed node {name} and revoked its certificates",
            node=name,
        )
        await events.record(connection, call.actor, [event])


async def _view(call: Call, connection: Connection) -> NodeView:
    row = await nodes.read_view(connection, call.path["name"])
    return compiler.node_view(row, datetime.now(UTC), call.services.spec.node_timeout)


async def _views(call: Call, connection: Connection) -> list[NodeView]:
    rows = await nodes.read_views(connection)
    now = datetime.now(UTC)
    return [compiler.node_view(row, now, call.services.spec.node_timeout) for row in rows]


def _check(body: NodeDrain) -> None:
    if not 0 < body.deadline_seconds <= LONGEST:
        raise Invalid(
            "deadline_seconds", f"expected seconds, more than 0 and at most {LONGEST:.0f}"
        )
    if len(body.reason) > REASON or not body.reason.isprintable():
        raise Invalid("reason", f"expected at most {REASON} printable characters")


def _drain_asked(call: Call, name: str, body: NodeDrain) -> Event:
    because = f": {body.reason}" if body.reason else ""
    forced = ", even as the last node" if body.force else ""
    return Event(
        kind="node.drain_asked",
        at=time.time(),
        message=f"{call.actor} asked node {name} to drain within"
        f" {body.deadline_seconds:.0f} s{forced}{because}",
        node=name,
        data={
            "deadline_seconds": body.deadline_seconds,
            "force": body.force,
            "reason": body.reason,
        },
    )
