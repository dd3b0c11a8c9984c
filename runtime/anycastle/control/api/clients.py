"""Clients: enrol, list, show, remove."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

from anycastle.control import allocate
from anycastle.control import compile as compiler
from anycastle.control.api.route import Call
from anycastle.control.errors import Invalid
from anycastle.control.store import clients, events
from anycastle.control.store.changes import changing
from anycastle.model.api import (
    ClientCreate,
    ClientCreated,
    ClientRemoved,
    ClientView,
    Connection,
)
from anycastle.model.control import ControlSpec
from anycastle.model.status import Event

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
"""Fits a file name, a URL and a DNS label."""


async def create(call: Call) -> ClientCreated:
    body: ClientCreate = call.body
    spec, database = call.services.spec, call.services.database
    _check(body, spec)
    wanted = allocate.request(spec.pools, body.addresses)
    async with changing(database, f"client {body.name} added") as writing:
        identity = await clients.insert(
            writing.connection, body.name, body.public_key, body.preshared_key, wanted
        )
        rows = await clients.read_compiled(writing.connection, identity)
        writing.put.append(compiler.client(rows))
        view = await clients.read_view(writing.connection, body.name)
        await events.record(
            writing.connection, call.actor, [_event("client.added", call, body.name)]
        )
    return ClientCreated(
        client=compiler.client_view(view, datetime.now(UTC)),
        connection=connection(spec),
        revision=writing.revision,
    )


async def remove(call: Call) -> ClientRemoved:
    name = call.path["name"]
    async with changing(call.services.database, f"client {name} removed") as writing:
        view = await clients.read_view(writing.connection, name)
        identity, _ = await clients.delete(writing.connection, name)
        writing.remove.append(str(identity))
        await events.record(writing.connection, call.actor, [_event("client.removed", call, name)])
    return ClientRemoved(
        client=compiler.client_view(view, datetime.now(UTC)), revision=writing.revision
    )


async def show(call: Call) -> ClientView:
    async with call.services.database.reading() as connection_:
        row = await clients.read_view(connection_, call.path["name"])
    return compiler.client_view(row, datetime.now(UTC))


async def list_all(call: Call) -> list[ClientView]:
    limit = call.number("limit", None, 1, 1_000_000)
    async with call.services.database.reading() as connection_:
        rows = await clients.read_views(connection_, call.query.get("after", ""), limit)
    now = datetime.now(UTC)
    return [compiler.client_view(row, now) for row in rows]


async def show_connection(call: Call) -> Connection:
    return connection(call.services.spec)


def connection(spec: ControlSpec) -> Connection:
    """What every client of the deployment has in common."""
    port = spec.anycast.port
    hosts = (f"[{a}]" if a.version == 6 else str(a) for a in spec.anycast.addresses)
    return Connection(
        endpoints=tuple(f"{host}:{port}" for host in hosts),
        service_public_key=spec.service_public_key,
        allowed_ips=tuple(str(n) for n in (*spec.pools, *spec.allowed_networks)),
        mtu=spec.client_mtu,
        keepalive=spec.client_keepalive,
    )


def _check(body: ClientCreate, spec: ControlSpec) -> None:
    if not NAME.fullmatch(body.name):
        raise Invalid(
            "name",
            "expected 1 to 63 letters, digits, dots, dashes or underscores, the first and the"
            " last a letter or digit",
        )
    if not any(body.public_key):
        raise Invalid("public_key", "this key is all zeros")
    if body.public_key == spec.service_public_key:
        raise Invalid("public_key", "this is the service's own key, not a client's")


def _event(kind: str, call: Call, name: str) -> Event:
    verb = kind.partition(".")[2]
    return Event(
        kind=kind, at=time.time(), message=f"{call.actor} {verb} client {name}", client=name
    )
