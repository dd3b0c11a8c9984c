"""Orders to drain: who wants which node out of service. Write within `changes.changing`."""

from __future__ import annotations

from typing import Any

from anycastle.control.database import Connection

Row = dict[str, Any]

_ORDER = "node, since, deadline, reason, force"

_PUT = f"""
INSERT INTO node_drain ({_ORDER}, actor)
VALUES (%(node)s, now(), now() + make_interval(secs => %(seconds)s), %(reason)s, %(force)s,
    %(actor)s)
ON CONFLICT (node) DO UPDATE SET deadline = excluded.deadline, reason = excluded.reason,
    force = excluded.force, actor = excluded.actor
RETURNING {_ORDER}
"""  # noqa: S608 - constants of this file; values are parameters


async def put(
    connection: Connection, node: str, *, seconds: float, reason: str, force: bool, actor: str
) -> Row:
    """Order a drain, or give an order that stands another deadline; a row for
    `compile.order`. The time is the database's, the one clock that all replicas share."""
    values = {"node": node, "seconds": seconds, "reason": reason, "force": force, "actor": actor}
    cursor = await connection.execute(_PUT, values)
    row = await cursor.fetchone()
    assert row is not None  # RETURNING of an INSERT that did not raise
    return row


async def delete(connection: Connection, node: str) -> bool:
    """Call an order off. False: there was none."""
    cursor = await connection.execute("DELETE FROM node_drain WHERE node = %s", (node,))
    return cursor.rowcount > 0


async def read_all(connection: Connection) -> list[Row]:
    """Rows for `compile.order`, by node."""
    cursor = await connection.execute(f"SELECT {_ORDER} FROM node_drain ORDER BY node")  # noqa: S608
    return await cursor.fetchall()
