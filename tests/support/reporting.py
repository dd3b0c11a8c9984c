"""Reports of nodes that are not there: rows in the control plane's database, as if sent."""

from __future__ import annotations

import time
from typing import Any

import psycopg

from anycastle.control.database import Database
from anycastle.control.store import nodes
from anycastle.model.control import ControlSpec
from anycastle.model.status import NodeReport, NodeState


async def report(
    spec: ControlSpec, name: str, state: NodeState = NodeState.UP, **values: Any
) -> None:
    """As if the node had reported just now."""
    known: dict[str, Any] = {
        "announcing": state in (NodeState.UP, NodeState.DEMOTED),
        "reason": "" if state is NodeState.UP else "disk: is full",
    }
    body = NodeReport(
        name=name, datacentre="ams", state=state, revision=1, routing="bird",
        wireguard="kernel", version="1", at=time.time(), **(known | values),
    )  # fmt: skip
    database = Database(spec.database)
    await database.open()
    async with database.writing() as connection:
        await nodes.store_report(connection, body)
    await database.close()


async def silent(spec: ControlSpec, name: str, seconds: float) -> None:
    """As if its last report were so old."""
    async with await psycopg.AsyncConnection.connect(spec.database) as connection:
        await connection.execute(
            "UPDATE node SET reported_at = now() - make_interval(secs => %s) WHERE name = %s",
            (seconds, name),
        )
