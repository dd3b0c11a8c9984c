"""The aiohttp application: the route table, the OpenAPI document, errors for the rest."""

from __future__ import annotations

from aiohttp import web

from anycastle.control.api import openapi
from anycastle.control.api.dispatch import JSON, HttpHandler, error_response, http_handler
from anycastle.control.api.table import ROUTES
from anycastle.control.errors import ControlError, NotFound
from anycastle.control.services import Services
from anycastle.model import codec


class MethodNotAllowed(ControlError):
    """The path is known, the method is not one of its."""

    status = 405


def application(services: Services) -> web.Application:
    """Everything that the port serves."""
    app = web.Application(middlewares=[_unknown])
    for route in ROUTES:
        app.router.add_route(route.method, route.path, http_handler(route, services))
    document = codec.to_json(openapi.document(ROUTES, services.spec.deployment))

    async def serve_document(_: web.Request) -> web.Response:
        return web.Response(body=document, content_type=JSON)

    app.router.add_get("/openapi.json", serve_document)
    return app


@web.middleware
async def _unknown(request: web.Request, handler: HttpHandler) -> web.StreamResponse:
    # aiohttp raises these before a route is found; ours answer in one shape.
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return error_response(NotFound("path", request.path))
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return error_response(
            MethodNotAllowed("method_not_allowed", f"{request.path} takes {allowed}")
        )
