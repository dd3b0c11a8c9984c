"""Nodes, what they report, and the certificates that were issued to them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec

from anycastle.control.database import CHANNEL, Connection
from anycastle.control.errors import Invalid, NotFound
from anycastle.model import codec
from anycastle.model.status import NodeReport, Session

_VIEW = """
SELECT node.name, node.reported_at, node.report,
    (SELECT count(*) FROM session WHERE session.node = node.name) AS sessions,
    drain.since, drain.deadline, drain.reason AS drain_reason, drain.force
FROM node LEFT JOIN node_drain AS drain ON drain.node = node.name
"""

_STORE_SESSIONS = """
WITH incoming AS (
    SELECT * FROM unnest(%(clients)s::uuid[], %(endpoints)s::text[], %(handshakes)s::timestamptz[],
        %(received)s::bigint[], %(sent)s::bigint[])
        AS t (client, endpoint, latest_handshake, received, sent)
), known AS (
    SELECT client.id FROM client WHERE id IN (SELECT client FROM incoming)
    ORDER BY id FOR KEY SHARE
)
INSERT INTO session (client, node, endpoint, latest_handshake, received, sent)
SELECT client, %(node)s, endpoint, latest_handshake, received, sent
FROM incoming JOIN known ON known.id = incoming.client ORDER BY client
ON CONFLICT (client) DO UPDATE SET node = excluded.node, endpoint = excluded.endpoint,
    latest_handshake = excluded.latest_handshake, received = excluded.received,
    sent = excluded.sent
WHERE session.node = excluded.node OR session.latest_handshake < excluded.latest_handshake
"""


async def store_report(connection: Connection, report: NodeReport) -> None:
    """Keep a node's report and its sessions. Raises Invalid for a client id that is none."""
    body = codec.to_json(msgspec.structs.replace(report, sessions=())).decode()
    await connection.execute(
        "INSERT INTO node (name, reported_at, report) VALUES (%(name)s, now(), %(report)s::jsonb)"
        " ON CONFLICT (name) DO UPDATE SET reported_at = now(), report = excluded.report",
        {"name": report.name, "report": body},
    )
    await _store_sessions(connection, report.name, report.sessions)


async def _store_sessions(connection: Connection, node: str, sessions: Sequence[Session]) -> None:
    ids = [_client_id(index, session.client) for index, session in enumerate(sessions)]
    await connection.execute(
        "DELETE FROM session WHERE node = %s AND client <> ALL (%s::uuid[])", (node, ids)
    )
    if not sessions:
        return
    values = {
        "node": node,
        "clients": ids,
        "endpoints": [session.endpoint for session in sessions],
        "handshakes": [datetime.fromtimestamp(s.latest_handshake, UTC) for s in sessions],
        "received": [session.received for session in sessions],
        "sent": [session.sent for session in sessions],
    }
    await connection.execute(_STORE_SESSIONS, values)


def _client_id(index: int, text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Invalid(f"sessions[{index}].client", f"{text!r} is not a client id") from None


async def read_views(connection: Connection) -> list[dict[str, Any]]:
    """Rows for `compile.node_view`, by name."""
    cursor = await connection.execute(_VIEW + " ORDER BY node.name")
    return await cursor.fetchall()


async def read_view(connection: Connection, name: str) -> dict[str, Any]:
    """One row for `compile.node_view`. Raises NotFound."""
    cursor = await connection.execute(_VIEW + " WHERE node.name = %s", (name,))
    row = await cursor.fetchone()
    if row is None:
        raise NotFound("node", name)
    return row


async def join(connection: Connection, name: str) -> None:
    """Note that a node has an identity now."""
    await connection.execute(
        "INSERT INTO node (name, joined_at) VALUES (%s, now())"
        " ON CONFLICT (name) DO UPDATE SET joined_at = now()",
        (name,),
    )


async def delete(connection: Connection, name: str) -> None:
    """Forget a node and revoke its certificates. Raises NotFound."""
    cursor = await connection.execute("DELETE FROM node WHERE name = %s", (name,))
    if cursor.rowcount == 0:
        raise NotFound("node", name)
    await connection.execute("DELETE FROM session WHERE node = %s", (name,))
    await connection.execute(
        "UPDATE certificate SET revoked_at = now() WHERE node = %s AND revoked_at IS NULL", (name,)
    )
    await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"revoked {name}"))


async def add_certificate(
    connection: Connection, serial: int, node: str, key: bytes, expires_at: datetime
) -> None:
    """key: SHA-256 of the certificate's SubjectPublicKeyInfo."""
    await connection.execute(
        "INSERT INTO certificate (serial, node, key, expires_at) VALUES (%s, %s, %s, %s)",
        (serial, node, key, expires_at),
    )


async def is_revoked(connection: Connection, serial: int) -> bool:
    """A serial that is not listed is good: the CA signed it, in a database before this."""
    cursor = await connection.execute(
        "SELECT FROM certificate WHERE serial = %s AND revoked_at IS NOT NULL", (serial,)
    )
    return await cursor.fetchone() is not None
