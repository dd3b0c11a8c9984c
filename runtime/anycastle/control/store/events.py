"""The append-only list of what happened."""

# ruff: noqa: S608 - the pieces put together are this file's constants; values are parameters

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from psycopg.types.json import Jsonb

from anycastle.control.database import CHANNEL, Connection
from anycastle.model.status import Event

_LOCK = 0x6576656E
"""Key of the advisory lock that makes ids visible in order. Taken after all row locks."""

NODE = "node"
"""Actor of the events that a node reported about itself."""

_COLUMNS = "id, at, kind, message, node, client, data, actor"


async def record(connection: Connection, actor: str, events: Iterable[Event]) -> None:
    """Append events. actor: an operator token's name, or `NODE`.

    Ids grow in the order of the commits, so a reader that asks for what came after the
    last id it saw misses nothing.
    """
    rows = [
        (
            datetime.fromtimestamp(event.at, UTC),
            event.kind,
            event.message,
            event.node,
            event.client,
            Jsonb(event.data),
            actor,
        )
        for event in events
    ]
    if not rows:
        return
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    async with connection.cursor() as cursor:
        await cursor.executemany(
            "INSERT INTO event (at, kind, message, node, client, data, actor)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING",
            rows,
        )
    await connection.execute("SELECT pg_notify(%s, 'event')", (CHANNEL,))


async def read_after(connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """The `limit` events that follow id `after`, oldest first."""
    query = f"SELECT {_COLUMNS} FROM event WHERE id > %s ORDER BY id LIMIT %s"
    cursor = await connection.execute(query, (after, limit))
    return await cursor.fetchall()


async def read_last(connection: Connection, limit: int) -> list[dict[str, Any]]:
    """The newest `limit` events, oldest first."""
    query = f"SELECT {_COLUMNS} FROM event ORDER BY id DESC LIMIT %s"
    cursor = await connection.execute(query, (limit,))
    return (await cursor.fetchall())[::-1]


async def delete_old(connection: Connection, days: float, *, exported: bool) -> int:
    """Drop events stored more than `days` ago; returns how many. exported: only those that
    are in the archive."""
    query = "DELETE FROM event WHERE stored_at < now() - make_interval(secs => %s)"
    if exported:
        query += " AND id <= coalesce((SELECT last_event FROM export), 0)"
    cursor = await connection.execute(query, (days * 86400,))
    return cursor.rowcount


async def lock_exported(connection: Connection) -> int:
    """Id of the last exported event, 0 before the first. The row is locked: one exporter."""
    await connection.execute("INSERT INTO export DEFAULT VALUES ON CONFLICT DO NOTHING")
    cursor = await connection.execute("SELECT last_event FROM export FOR UPDATE")
    row = await cursor.fetchone()
    assert row is not None  # inserted above
    return int(row["last_event"])


async def set_exported(connection: Connection, last: int) -> None:
    """All events up to this id are in the archive."""
    await connection.execute("UPDATE export SET last_event = %s", (last,))
