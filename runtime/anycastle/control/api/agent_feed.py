"""A node's feed: the hub's bytes on an HTTP response that does not end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, contextmanager

import structlog
from aiohttp import web

from anycastle.control.api.agent import refuse_revoked
from anycastle.control.api.route import Call
from anycastle.control.errors import ControlError
from anycastle.control.feed import Cut

WRITE_TIMEOUT = 30.0
"""Seconds; an agent that does not take a write for so long is cut, and comes back."""

PIECE = 64 << 10
"""Bytes per write. asyncio's TLS encrypts a whole write into memory before it pushes back,
so a snapshot in one piece would cost its size for each slow agent."""

log = structlog.get_logger()


async def read(call: Call) -> web.StreamResponse:
    caller, services = call.caller, call.services
    revision = call.number("revision", None, 0, 2**63 - 1)
    async with services.database.reading() as connection:
        await refuse_revoked(connection, caller.name, caller.serial)
    response = web.StreamResponse(
        headers={"Content-Type": "application/octet-stream", "Cache-Control": "no-store"}
    )
    with _registered(call):
        async with aclosing(services.hub.stream(call.query.get("epoch", ""), revision)) as chunks:
            try:
                await _write(call, response, chunks)
            except (Cut, ControlError) as error:
                if not response.prepared:
                    raise
                # Closed, not ended: the agent must not take it for a whole answer.
                _cut(call, str(error))
            except ConnectionError:
                log.info("feed.closed", node=caller.name)
    return response


async def _write(call: Call, response: web.StreamResponse, chunks: AsyncIterator[bytes]) -> None:
    async for chunk in chunks:
        if not response.prepared:
            await response.prepare(call.request)
        for start in range(0, len(chunk), PIECE):
            with _limited(call):
                await response.write(chunk[start : start + PIECE])
        if time.time() > call.caller.not_after:
            raise Cut("the node's certificate has ended")


@contextmanager
def _limited(call: Call) -> Iterator[None]:
    # A write that is cancelled would leave aiohttp's own future behind; one whose
    # connection ends raises.
    reason = f"it took nothing for {WRITE_TIMEOUT} s"
    timer = asyncio.get_running_loop().call_later(WRITE_TIMEOUT, _cut, call, reason)
    try:
        yield
    finally:
        timer.cancel()


def _cut(call: Call, reason: str) -> None:
    log.info("feed.cut", node=call.caller.name, reason=reason)
    call.services.metrics.cuts.inc()
    if call.request.transport is not None:
        call.request.transport.abort()


@contextmanager
def _registered(call: Call) -> Iterator[None]:
    task = asyncio.current_task()
    assert task is not None  # a handler runs in a task
    tasks = call.services.feeds.setdefault(call.caller.name, set())
    tasks.add(task)
    try:
        yield
    finally:
        tasks.discard(task)
