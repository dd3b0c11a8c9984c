"""Clients, their credentials and addresses."""

# ruff: noqa: S608 - the pieces put together are this file's constants; values are parameters

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import psycopg

from anycastle.control.allocate import Request
from anycastle.control.database import Connection
from anycastle.control.errors import Conflict, NotFound
from anycastle.control.store import pools
from anycastle.model.addresses import Address
from anycastle.model.codec import Key

Row = dict[str, Any]

_ADDRESSES = """ARRAY(
    SELECT address FROM client_address WHERE client = client.id ORDER BY address
) AS addresses"""

_COMPILED = f"""
SELECT client.id, client.name, {_ADDRESSES}, credential.id AS credential,
    credential.public_key, credential.preshared_key, credential.not_after
FROM client JOIN credential ON credential.client = client.id
"""

_VIEW = f"""
SELECT client.id, client.name, client.created_at, {_ADDRESSES},
    newest.public_key, session.node, session.endpoint, session.latest_handshake
FROM client
LEFT JOIN session ON session.client = client.id
LEFT JOIN LATERAL (
    SELECT public_key FROM credential WHERE client = client.id
    ORDER BY created_at DESC LIMIT 1
) newest ON true
"""

_CONFLICTS = {
    "client_name_unique": Conflict(
        "name_taken", "there is already a client with this name", "name"
    ),
    "credential_public_key_unique": Conflict(
        "key_taken", "this public key belongs to another client", "public_key"
    ),
    "client_address_unique": Conflict(
        "address_taken", "another client has this address", "addresses"
    ),
}


async def insert(
    connection: Connection, name: str, public_key: Key, preshared_key: Key | None, wanted: Request
) -> UUID:
    """Add a client with one credential. Raises Conflict. Within `changes.changing`."""
    try:
        client = await _insert_client(connection, name)
        await connection.execute(
            "INSERT INTO credential (client, public_key, preshared_key) VALUES (%s, %s, %s)",
            (client, bytes(public_key), bytes(preshared_key) if preshared_key else None),
        )
        for address in wanted.wanted:
            await pools.take(connection, address)
            await _insert_address(connection, client, address)
        for pool in wanted.choose:
            await _insert_address(connection, client, await pools.allocate(connection, pool))
    except psycopg.errors.UniqueViolation as error:
        raise _CONFLICTS[error.diag.constraint_name or ""] from None
    return client


async def _insert_client(connection: Connection, name: str) -> UUID:
    cursor = await connection.execute("INSERT INTO client (name) VALUES (%s) RETURNING id", (name,))
    row = await cursor.fetchone()
    assert row is not None  # RETURNING of an INSERT that did not raise
    client: UUID = row["id"]
    return client


async def _insert_address(connection: Connection, client: UUID, address: Address) -> None:
    await connection.execute(
        "INSERT INTO client_address (client, address) VALUES (%s, %s)", (client, address)
    )


async def delete(connection: Connection, name: str) -> tuple[UUID, Sequence[Address]]:
    """Remove a client; its id and addresses. Raises NotFound. Within `changes.changing`."""
    cursor = await connection.execute(
        f"SELECT client.id, {_ADDRESSES} FROM client WHERE name = %s FOR UPDATE", (name,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("client", name)
    await connection.execute("DELETE FROM client WHERE id = %s", (row["id"],))
    await pools.release(connection, row["addresses"])
    return row["id"], row["addresses"]


async def read_compiled(connection: Connection, client: UUID) -> list[Row]:
    """Rows of one client for `compile.clients`."""
    query = _COMPILED + " WHERE client.id = %s ORDER BY client.id, credential.created_at"
    cursor = await connection.execute(query, (client,))
    return await cursor.fetchall()


async def read_all_compiled(connection: Connection) -> AsyncIterator[Row]:
    """Rows of all clients for `compile.clients`, fetched piece by piece."""
    query = _COMPILED + " ORDER BY client.id, credential.created_at"
    async with connection.cursor(name="clients") as cursor:
        cursor.itersize = 2000
        await cursor.execute(query)
        async for row in cursor:
            yield row


async def read_view(connection: Connection, name: str) -> Row:
    """A row for `compile.client_view`. Raises NotFound."""
    cursor = await connection.execute(_VIEW + " WHERE client.name = %s", (name,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("client", name)
    return row


async def read_views(connection: Connection, after: str, limit: int | None) -> list[Row]:
    """Rows in the order of their names, from the one after `after`."""
    query = _VIEW + ' WHERE client.name > %s COLLATE "C" ORDER BY client.name COLLATE "C" LIMIT %s'
    cursor = await connection.execute(query, (after, limit))
    return await cursor.fetchall()


async def count(connection: Connection, live_seconds: float) -> tuple[int, int]:
    """(clients, those of them with a handshake within the last `live_seconds`)."""
    cursor = await connection.execute(
        "SELECT (SELECT count(*) FROM client) AS enrolled, (SELECT count(*) FROM session"
        " WHERE latest_handshake > now() - make_interval(secs => %s)) AS connected",
        (live_seconds,),
    )
    row = await cursor.fetchone()
    assert row is not None  # a SELECT without FROM has one row
    return row["enrolled"], row["connected"]
