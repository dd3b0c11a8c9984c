"""The deployment at a glance, the process's health, its metrics."""

from __future__ import annotations

from aiohttp import web

from anycastle import __version__
from anycastle.control.api import nodes
from anycastle.control.api.route import Call
from anycastle.control.compile import LIVE
from anycastle.control.errors import Unavailable
from anycastle.control.store import changes, clients
from anycastle.model.api import ClientCounts, Status


async def status(call: Call) -> Status:
    spec = call.services.spec
    views = await nodes.list_all(call)
    async with call.services.database.reading() as connection:
        head = await changes.read_head(connection)
        enrolled, connected = await clients.count(connection, LIVE)
    return Status(
        deployment=spec.deployment,
        revision=head.revision,
        anycast=spec.anycast.addresses,
        nodes=tuple(views),
        clients=ClientCounts(enrolled=enrolled, connected=connected),
    )


async def health(call: Call) -> dict[str, str]:
    """Good when agents and operators can be served, which needs the database."""
    if not call.services.hub.listening:
        raise Unavailable("database_unavailable", "the feed is not connected to the database")
    async with call.services.database.reading() as connection:
        await changes.read_head(connection)
    return {"status": "ok", "version": __version__}


async def metrics(call: Call) -> web.Response:
    text = call.services.metrics.text()
    return web.Response(body=text, headers={"Content-Type": "text/plain; version=0.0.4"})
