"""Operators' and nodes' tokens; only hashes of their secrets are kept."""

# ruff: noqa: S608 - the pieces put together are this file's constants; values are parameters

from __future__ import annotations

from typing import Any
from uuid import UUID

import psycopg

from anycastle.control.database import Connection
from anycastle.control.errors import Conflict, NotFound

Row = dict[str, Any]

_COLUMNS = """id, kind, name, role, node, secret, created_at, expires_at, used_at, used_by,
    revoked_at, coalesce(expires_at <= now(), false) AS expired"""


async def insert(connection: Connection, values: Row) -> Row:
    """values: kind, name, role, node, secret (hash), expires_in (seconds or None).

    Raises Conflict when an operator token of that name is in force.
    """
    query = (
        "INSERT INTO token (kind, name, role, node, secret, expires_at) VALUES (%(kind)s,"
        " %(name)s, %(role)s, %(node)s, %(secret)s, now() + make_interval(secs => %(expires_in)s))"
        f" RETURNING {_COLUMNS}"
    )
    try:
        cursor = await connection.execute(query, values)
    except psycopg.errors.UniqueViolation as error:
        if error.diag.constraint_name == "token_secret_unique":
            raise Conflict("secret_taken", "another token has this secret") from None
        raise Conflict(
            "name_taken", "there is already an operator token with this name", "name"
        ) from None
    row = await cursor.fetchone()
    assert row is not None  # RETURNING of an INSERT that did not raise
    return row


async def read_by_secret(
    connection: Connection, secret: bytes, *, lock: bool = False
) -> Row | None:
    """secret: the hash."""
    query = f"SELECT {_COLUMNS} FROM token WHERE secret = %s" + (" FOR UPDATE" if lock else "")
    cursor = await connection.execute(query, (secret,))
    return await cursor.fetchone()


async def read_operator(connection: Connection, name: str) -> Row | None:
    """The operator token of that name that is in force (or has expired)."""
    query = (
        f"SELECT {_COLUMNS} FROM token WHERE kind = 'operator' AND name = %s AND revoked_at IS NULL"
    )
    cursor = await connection.execute(query, (name,))
    return await cursor.fetchone()


async def read_all(connection: Connection) -> list[Row]:
    """Newest first."""
    cursor = await connection.execute(f"SELECT {_COLUMNS} FROM token ORDER BY created_at DESC, id")
    return await cursor.fetchall()


async def mark_used(connection: Connection, token: UUID, used_by: bytes) -> None:
    await connection.execute(
        "UPDATE token SET used_at = now(), used_by = %s WHERE id = %s", (used_by, token)
    )


async def revoke(connection: Connection, token: UUID) -> Row:
    """Revoke; a second time changes nothing. Raises NotFound."""
    cursor = await connection.execute(
        "UPDATE token SET revoked_at = coalesce(revoked_at, now()) WHERE id = %s"
        f" RETURNING {_COLUMNS}",
        (token,),
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("token", str(token))
    return row


async def delete_old(connection: Connection, days: float) -> int:
    """Drop tokens that have been of no use for `days`; returns how many."""
    cursor = await connection.execute(
        "DELETE FROM token WHERE least(revoked_at, expires_at) < now() - make_interval(secs => %s)",
        (days * 86400,),
    )
    return cursor.rowcount
