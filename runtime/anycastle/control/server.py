"""Puts the parts together and runs them until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import NamedTuple

import psycopg
import structlog
from aiohttp import web

from anycastle.control import migrate, systemd, tls
from anycastle.control.api.app import application
from anycastle.control.database import Database
from anycastle.control.errors import Unavailable
from anycastle.control.feed import Hub
from anycastle.control.metrics import Metrics
from anycastle.control.pki import SERVER_LIFETIME, Authority
from anycastle.control.services import Services
from anycastle.control.store import events, tokens
from anycastle.model.control import ControlSpec

KEEP_DAYS = 90.0
"""Events and spent tokens are kept for so long."""
HOUSEKEEPING = 3600.0
SHUTDOWN = 3.0

log = structlog.get_logger()


class Api(NamedTuple):
    """port: spec.port, or the free one that was taken for 0. broken: gets the exception
    of a background task that must not end."""

    port: int
    broken: asyncio.Future[None]


async def serve(spec: ControlSpec, stop: asyncio.Event) -> None:
    """Serve until `stop` is set. Raises SchemaError, AuthorityError, OSError at the start."""
    authority = Authority.load(
        Path(spec.ca_certificate_file), Path(spec.ca_key_file), spec.deployment
    )
    async with running(spec, authority) as api:
        log.info("control.ready", deployment=spec.deployment, port=api.port)
        systemd.notify("READY=1")
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait((stopped, api.broken), return_when=asyncio.FIRST_COMPLETED)
        systemd.notify("STOPPING=1")
        if api.broken.done():
            api.broken.result()
        log.info("control.stopping")


@contextlib.asynccontextmanager
async def running(spec: ControlSpec, authority: Authority) -> AsyncIterator[Api]:
    """The API, listening. Raises SchemaError, OSError."""
    database = Database(spec.database)
    await database.open()
    hub = Hub(database)
    services = Services(spec, database, authority, hub, Metrics(hub, database))
    hub.on_revoked = services.cut_feeds
    try:
        await _wait_for_database(spec, database)
        context = tls.server_context()
        tls.load_certificate(context, authority, spec.names)
        async with (
            _tasks(
                hub.run(),
                _renew(context, authority, spec),
                _housekeep(database, archived=spec.audit is not None),
            ) as broken,
            _listening(services, context) as port,
        ):
            yield Api(port, broken)
    finally:
        await database.close()


async def _renew(context: ssl.SSLContext, authority: Authority, spec: ControlSpec) -> None:
    while True:
        await asyncio.sleep(SERVER_LIFETIME.total_seconds() / 3)
        tls.load_certificate(context, authority, spec.names)


async def _housekeep(database: Database, *, archived: bool) -> None:
    while True:
        try:
            async with database.writing() as connection:
                gone = await events.delete_old(connection, KEEP_DAYS, exported=archived)
                gone += await tokens.delete_old(connection, KEEP_DAYS)
            log.info("control.housekeeping", rows=gone)
        except (Unavailable, psycopg.Error) as error:
            log.warning("control.housekeeping_failed", error=str(error))
        await asyncio.sleep(HOUSEKEEPING)


async def _wait_for_database(spec: ControlSpec, database: Database) -> None:
    """Returns when it is there and its schema is ours. Raises SchemaError."""
    while True:
        try:
            async with database.reading() as connection:
                return await migrate.check(connection, spec.deployment)
        except Unavailable as error:
            log.warning("control.waiting_for_database", error=str(error))
            await asyncio.sleep(1.0)


@contextlib.asynccontextmanager
async def _tasks(
    *coroutines: Coroutine[object, object, None],
) -> AsyncIterator[asyncio.Future[None]]:
    """Run them beside the body; gives the future that gets the exception of one."""
    broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def look(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and not broken.done():
            broken.set_exception(task.exception() or RuntimeError("a background task ended"))

    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    for task in tasks:
        task.add_done_callback(look)
    try:
        yield broken
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        broken.cancel()


@contextlib.asynccontextmanager
async def _listening(services: Services, context: ssl.SSLContext) -> AsyncIterator[int]:
    spec = services.spec
    app = application(services)

    async def end_streams(_: web.Application) -> None:
        services.hub.close()
        services.hub.events.ring()

    app.on_shutdown.append(end_streams)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN, keepalive_timeout=75)
    await runner.setup()
    try:
        hosts: list[str | None] = [str(address) for address in spec.listen]
        for host in hosts or [None]:
            await web.TCPSite(runner, host, spec.port, ssl_context=context).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()
