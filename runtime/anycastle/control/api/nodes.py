"""Nodes: list, show, remove."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from anycastle.control import compile as compiler
from anycastle.control.api.route import Call
from anycastle.control.store import events, nodes
from anycastle.model.api import NodeView
from anycastle.model.status import Event


async def list_all(call: Call) -> list[NodeView]:
    async with call.services.database.reading() as connection:
        rows = await nodes.read_views(connection)
    now = datetime.now(UTC)
    return [compiler.node_view(row, now, call.services.spec.node_timeout) for row in rows]


async def show(call: Call) -> NodeView:
    async with call.services.database.reading() as connection:
        row = await nodes.read_view(connection, call.path["name"])
    return compiler.node_view(row, datetime.now(UTC), call.services.spec.node_timeout)


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
