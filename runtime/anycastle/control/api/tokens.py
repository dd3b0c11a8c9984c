"""Tokens of operators and of nodes that are to join."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

from anycastle.control import auth
from anycastle.control import compile as compiler
from anycastle.control.api.route import Call
from anycastle.control.database import Connection
from anycastle.control.errors import Invalid, NotFound
from anycastle.control.store import events, tokens
from anycastle.model.api import TokenCreate, TokenCreated, TokenView
from anycastle.model.status import Event

LONGEST = 10 * 366 * 86400.0
"""Seconds: a token that shall live longer has no end at all."""


async def create(call: Call) -> TokenCreated:
    secret = auth.new_secret(call.body.kind)
    values = token_values(call.body, secret)
    async with call.services.database.writing() as connection:
        row = await add(connection, call.actor, values)
    return TokenCreated(token=compiler.token_view(row), secret=secret)


async def list_all(call: Call) -> list[TokenView]:
    async with call.services.database.reading() as connection:
        rows = await tokens.read_all(connection)
    return [compiler.token_view(row) for row in rows]


async def revoke(call: Call) -> TokenView:
    text = call.path["id"]
    try:
        identity = UUID(text)
    except ValueError:
        raise NotFound("token", text) from None
    async with call.services.database.writing() as connection:
        row = await tokens.revoke(connection, identity)
        await events.record(connection, call.actor, [_event("token.revoked", call.actor, row)])
    return compiler.token_view(row)


def token_values(body: TokenCreate, secret: str) -> dict[str, Any]:
    """Check a request and make the row. Raises Invalid."""
    lifetime = body.expires_in
    if lifetime is not None and not 0 < lifetime <= LONGEST:
        raise Invalid("expires_in", f"expected seconds, more than 0 and at most {LONGEST:.0f}")
    if not 0 < len(body.name) <= 64 or not body.name.isprintable():
        raise Invalid("name", "expected 1 to 64 printable characters")
    if body.kind == "operator":
        _check_operator(body)
    elif body.kind == "join":
        _check_join(body)
        lifetime = lifetime or auth.JOIN_LIFETIME
    else:
        raise Invalid("kind", f"expected `operator` or `join`, got {body.kind!r}")
    return {
        "kind": body.kind,
        "name": body.name,
        "role": body.role,
        "node": body.node,
        "secret": auth.digest(secret),
        "expires_in": lifetime,
    }


async def add(connection: Connection, actor: str, values: dict[str, Any]) -> dict[str, Any]:
    """Store a token and say so in the events; returns its row. Raises Conflict."""
    row = await tokens.insert(connection, values)
    await events.record(connection, actor, [_event("token.created", actor, row)])
    return row


def _check_operator(body: TokenCreate) -> None:
    if body.role not in tuple(auth.Role):
        raise Invalid("role", f"an operator token needs `admin` or `viewer`, got {body.role!r}")
    if body.node is not None:
        raise Invalid("node", "only a join token names a node")


def _check_join(body: TokenCreate) -> None:
    if not body.node or len(body.node) > 63 or not body.node.isprintable():
        raise Invalid("node", "a join token needs the name of the node, at most 63 characters")
    if body.role is not None:
        raise Invalid("role", "only an operator token has a role")


def _event(kind: str, actor: str, row: dict[str, Any]) -> Event:
    verb = kind.partition(".")[2]
    return Event(
        kind=kind,
        at=time.time(),
        message=f"{actor} {verb} {row['kind']} token {row['name']}",
        node=row["node"],
        data={"token": str(row["id"]), "role": row["role"]},
    )
