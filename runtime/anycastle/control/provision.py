"""What the host's own command line does to the database: tokens, and a check of it all.

Who may run it is who may open the database and read the CA's key; no token is needed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from anycastle.control import auth, export, migrate
from anycastle.control import compile as compiler
from anycastle.control.api import tokens as token_rules
from anycastle.control.database import Connection, connect
from anycastle.control.errors import Invalid, NotFound
from anycastle.control.pki import Authority
from anycastle.control.store import changes, drains, events, nodes, tokens
from anycastle.model.api import NodeView, TokenCreate
from anycastle.model.control import AuditBucket, ControlSpec
from anycastle.model.status import DrainPhase, Event, NodeState

ACTOR = "control"
LOOK = 0.5
"""Seconds between two looks at a node that drains."""


async def join_token(spec: ControlSpec, node: str, expires_in: float | None) -> str:
    """A new one-time secret for `node`. Raises Invalid, SchemaError, psycopg.Error."""
    secret = auth.new_secret("join")
    body = TokenCreate(kind="join", name=node, node=node, expires_in=expires_in)
    async with _transaction(spec) as connection:
        await token_rules.add(connection, ACTOR, token_rules.token_values(body, secret))
    return secret


async def operator_token(
    spec: ControlSpec, name: str, role: auth.Role, expires_in: float | None, secret: str | None
) -> str:
    """An operator token with a given or a new secret.

    Idempotent for a given secret: an equal token stays as it is, another of that name
    is revoked first. Raises Invalid, Conflict, SchemaError, psycopg.Error.
    """
    if secret is not None and len(secret) < auth.MIN_SECRET:
        raise Invalid("secret", f"shorter than {auth.MIN_SECRET} characters")
    body = TokenCreate(kind="operator", name=name, role=role.value, expires_in=expires_in)
    secret = secret or auth.new_secret("operator")
    values = token_rules.token_values(body, secret)
    async with _transaction(spec) as connection:
        present = await tokens.read_operator(connection, name)
        if present is not None and _equal(present, values):
            return secret
        if present is not None:
            await tokens.revoke(connection, present["id"])
        await token_rules.add(connection, ACTOR, values)
    return secret


async def drain_node(spec: ControlSpec, name: str, seconds: float) -> str:
    """Have a node leave service, for good: it is not asked whether it is the last one.

    Waits until no session is left, the node is silent, or `seconds` are over; says which.
    Raises SchemaError, psycopg.Error.
    """
    async with _transaction(spec) as connection:
        try:
            await nodes.read_view(connection, name)
        except NotFound:
            return "it is unknown"
        async with changes.within(connection, f"node {name} leaves the deployment") as writing:
            why = "leaves the deployment"
            row = await drains.put(
                connection, name, seconds=seconds, reason=why, force=True, actor=ACTOR
            )
            writing.orders.append(compiler.order(row))
            message = f"node {name} {why}: asked to drain within {seconds:.0f} s"
            event = Event(kind="node.drain_asked", at=time.time(), message=message, node=name)
            await events.record(connection, ACTOR, [event])
    end = time.monotonic() + seconds
    while True:
        view = await _node_view(spec, name)
        if view is None or view.state is NodeState.UNKNOWN:
            return "it is silent"
        if view.drain is not None and view.drain.phase is DrainPhase.DRAINED:
            return "no session is left"
        if time.monotonic() >= end:
            return f"{view.sessions} sessions are left"
        await asyncio.sleep(LOOK)


async def _node_view(spec: ControlSpec, name: str) -> NodeView | None:
    async with _transaction(spec) as connection:
        try:
            row = await nodes.read_view(connection, name)
        except NotFound:
            return None
    return compiler.node_view(row, datetime.now(UTC), spec.node_timeout)


async def forget_node(spec: ControlSpec, name: str) -> bool:
    """For a node that left the deployment; its certificates end with it. False: unknown.

    Raises SchemaError, psycopg.Error.
    """
    async with _transaction(spec) as connection:
        try:
            await nodes.delete(connection, name)
        except NotFound:
            return False
        message = f"node {name} left the deployment; its certificates are revoked"
        event = Event(kind="node.removed", at=time.time(), message=message, node=name)
        await events.record(connection, ACTOR, [event])
    return True


async def export_events(
    spec: ControlSpec, bucket: AuditBucket, archive: export.Archive, say: Callable[[str], None]
) -> int:
    """Put what is new into the archive; how many events.

    Raises SchemaError, psycopg.Error, and what the archive raises.
    """
    async with await connect(spec.database) as connection:
        await migrate.check(connection, spec.deployment)
        retention = timedelta(days=bucket.retention_days)
        return await export.export(connection, archive, spec.deployment, retention, say)


async def check(spec: ControlSpec) -> list[str]:
    """What was found good, a line each. Raises what was not."""
    authority = Authority.load(
        Path(spec.ca_certificate_file), Path(spec.ca_key_file), spec.deployment
    )
    ends = authority.certificate.not_valid_after_utc
    async with _transaction(spec) as connection:
        head = await changes.read_head(connection)
    return [
        f"certificate authority: {authority.certificate.subject.rfc4514_string()}, until {ends}",
        f"database: deployment {head.deployment}, revision {head.revision}, epoch {head.epoch}",
    ]


def _equal(present: tokens.Row, values: tokens.Row) -> bool:
    same = ("secret", "role")
    return not present["expired"] and all(present[field] == values[field] for field in same)


@asynccontextmanager
async def _transaction(spec: ControlSpec) -> AsyncIterator[Connection]:
    async with await connect(spec.database) as connection:
        await migrate.check(connection, spec.deployment)
        async with connection.transaction():
            yield connection
