"""Events: a page of them, or a stream that goes on."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from anycastle.control import bell
from anycastle.control import compile as compiler
from anycastle.control.api.route import Call
from anycastle.control.errors import ControlError
from anycastle.control.store import events
from anycastle.model import codec
from anycastle.model.status import Event

PAGE = 100
MOST = 10_000
RECHECK = 10.0
LINES = "application/x-ndjson"


async def read(call: Call) -> list[Event] | web.StreamResponse:
    """`after`: events that follow that id. Without it: the newest. `follow=1`: go on."""
    after = call.number("after", None, 0, 2**63 - 1)
    limit = call.number("limit", PAGE, 0, MOST) or 0
    rows = await _page(call, after, limit)
    if call.query.get("follow", "0") not in ("1", "true"):
        return [compiler.event(row) for row in rows]
    return await _follow(call, after or 0, rows)


async def _page(call: Call, after: int | None, limit: int) -> list[dict[str, Any]]:
    async with call.services.database.reading() as connection:
        if after is None:
            return await events.read_last(connection, limit)
        return await events.read_after(connection, after, limit)


async def _follow(call: Call, last: int, rows: list[dict[str, Any]]) -> web.StreamResponse:
    hub = call.services.hub
    if not rows and not last:
        newest = await _page(call, None, 1)
        last = newest[-1]["id"] if newest else 0
    response = web.StreamResponse(headers={"Content-Type": LINES, "Cache-Control": "no-store"})
    await response.prepare(call.request)
    while not hub.closing and _is_open(call.request):
        stored = hub.events.next()
        if rows:
            try:
                await response.write(b"".join(_line(row) for row in rows))
            except ConnectionError:  # the reader went away
                break
            last = rows[-1]["id"]
        else:
            await bell.wait(stored, RECHECK)
        try:
            rows = await _page(call, last, MOST)
        except ControlError:  # no database: the caller resumes by the last id it saw
            break
    return response


def _is_open(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _line(row: dict[str, Any]) -> bytes:
    return codec.to_json(compiler.event(row)) + b"\n"
