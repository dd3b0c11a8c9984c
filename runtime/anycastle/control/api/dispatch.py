"""aiohttp on one side, handlers on the other: proof of the caller, body, errors, metrics."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import structlog
from aiohttp import web

from anycastle.control import auth
from anycastle.control.api.route import Access, Call, Route
from anycastle.control.auth import NodeIdentity, Operator, Role
from anycastle.control.errors import (
    ControlError,
    Forbidden,
    Invalid,
    Malformed,
    TooLarge,
    Unauthenticated,
    Unavailable,
)
from anycastle.control.services import Services
from anycastle.control.store import tokens
from anycastle.model import codec
from anycastle.model.api import Error, ErrorBody

BODY_TIMEOUT = 15.0
"""Seconds for a request's body to arrive."""
JSON = "application/json"

log = structlog.get_logger()

HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def http_handler(route: Route, services: Services) -> HttpHandler:
    """A route as aiohttp calls it. Never raises anything but cancellation and lost peers."""

    async def handle(request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        response = await _answer(route, services, request)
        labels = (route.method, route.path)
        services.metrics.requests.labels(*labels, response.status).inc()
        if not _is_stream(response):
            services.metrics.duration.labels(*labels).observe(time.monotonic() - started)
        return response

    return handle


def error_response(error: ControlError) -> web.Response:
    body = Error(error=ErrorBody(code=error.code, message=error.message, field=error.field))
    headers = {}
    if error.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status == 503:
        headers["Retry-After"] = "1"
    return web.Response(
        body=codec.to_json(body), status=error.status, content_type=JSON, headers=headers
    )


async def _answer(route: Route, services: Services, request: web.Request) -> web.StreamResponse:
    try:
        return _encode(route, await _call(route, services, request))
    except ControlError as error:
        _log_refusal(route, request, error)
        services.metrics.refusals.labels(error.code).inc()
        return error_response(error)
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:
        log.exception("api.failed", method=route.method, route=route.path)
        services.metrics.refusals.labels("internal").inc()
        internal = ControlError("internal", f"the control plane failed: {type(error).__name__}")
        return error_response(internal)


async def _call(route: Route, services: Services, request: web.Request) -> object:
    operator, node = await _prove(route, services, request)
    call = Call(
        services=services,
        request=request,
        path=request.match_info,
        query=_query(route, request),
        body=await _body(route, request),
        operator=operator,
        node=node,
    )
    try:
        return await route.handler(call)
    except psycopg.DataError as error:
        # What the types let pass and Postgres does not: a NUL character, a huge number.
        raise Invalid("", f"a value does not fit the database: {error}".strip()) from error


async def _prove(
    route: Route, services: Services, request: web.Request
) -> tuple[Operator | None, NodeIdentity | None]:
    if route.access is Access.OPEN:
        return None, _peer(request, services.spec.deployment)
    if route.access is Access.NODE:
        node = _peer(request, services.spec.deployment)
        if node is None:
            raise _no_certificate(request)
        return None, node
    secret = auth.bearer(request.headers.get("Authorization"))
    async with services.database.reading() as connection:
        row = await tokens.read_by_secret(connection, auth.digest(secret))
    operator = auth.operator(row, secret)
    auth.require(operator, Role.ADMIN if route.access is Access.ADMIN else Role.VIEWER)
    return operator, None


def _no_certificate(request: web.Request) -> ControlError:
    if _certificate(request):
        return Forbidden(
            "certificate_foreign", "this certificate is not a node's of this deployment"
        )
    return Unauthenticated(
        "certificate_missing",
        "this call needs a node's client certificate of this deployment; a node gets one by"
        " joining with a token",
    )


def _certificate(request: web.Request) -> dict[str, Any]:
    if request.transport is None:
        raise ConnectionResetError("the peer went away")
    return request.transport.get_extra_info("peercert") or {}


def _peer(request: web.Request, deployment: str) -> NodeIdentity | None:
    """The node behind a certificate that TLS has verified, None without one of ours."""
    certificate = _certificate(request)
    subject = dict(pair for group in certificate.get("subject", ()) for pair in group)
    name = subject.get("commonName")
    if not name or subject.get("organizationName") != deployment:
        return None
    not_after = float(ssl.cert_time_to_seconds(certificate["notAfter"]))
    return NodeIdentity(name, int(certificate["serialNumber"], 16), not_after)


def _query(route: Route, request: web.Request) -> dict[str, str]:
    known = {parameter.name for parameter in route.query}
    for name in request.query:
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise Invalid(name, f"unknown parameter of the query; known: {allowed}")
    return dict(request.query)


async def _body(route: Route, request: web.Request) -> object:
    if route.body is None:
        return None
    try:
        async with asyncio.timeout(BODY_TIMEOUT):
            data = await _read(request, route.limit)
    except TimeoutError:
        raise Malformed(f"the body did not arrive within {BODY_TIMEOUT:.0f} s") from None
    try:
        return codec.from_json(data, route.body)
    except codec.ModelError as error:
        if error.reason.startswith(("JSON is malformed", "Input data was truncated")):
            raise Malformed(error.reason) from None
        raise Invalid(error.path, error.reason) from None


async def _read(request: web.Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise TooLarge(limit)
    data = bytearray()
    async for chunk in request.content.iter_any():
        data += chunk
        if len(data) > limit:
            raise TooLarge(limit)
    return bytes(data)


def _encode(route: Route, result: object) -> web.StreamResponse:
    if isinstance(result, web.StreamResponse):
        return result
    if result is None:
        return web.Response(status=route.status)
    return web.Response(body=codec.to_json(result), status=route.status, content_type=JSON)


def _is_stream(response: web.StreamResponse) -> bool:
    return not isinstance(response, web.Response)


def _log_refusal(route: Route, request: web.Request, error: ControlError) -> None:
    write = log.warning if isinstance(error, Unavailable) else log.info
    write(
        "api.refused",
        method=route.method,
        route=route.path,
        remote=request.remote,
        status=error.status,
        code=error.code,
        field=error.field,
    )
