"""The OpenAPI 3.1 document, made from the route table and the model's structs.

Nothing is written twice, so it can't drift from what is served.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

import msgspec

from anycastle import __version__
from anycastle.control.api.route import Access, Route
from anycastle.model.addresses import Address, Network
from anycastle.model.api import Error
from anycastle.model.codec import Key

_TEXT: dict[Any, dict[str, Any]] = {
    Key: {"type": "string", "format": "byte", "minLength": 44, "maxLength": 44},
    Address: {"type": "string", "description": "An IPv4 or IPv6 address."},
    Network: {"type": "string", "description": "An IPv4 or IPv6 network."},
    ipaddress.IPv4Address: {"type": "string", "format": "ipv4"},
    ipaddress.IPv6Address: {"type": "string", "format": "ipv6"},
}

_ALWAYS = {
    Access.OPEN: (),
    Access.NODE: (401, 403, 503),
    Access.VIEWER: (401, 503),
    Access.ADMIN: (401, 403, 503),
}

_SECURITY: dict[Access, list[dict[str, list[str]]]] = {
    Access.OPEN: [],
    Access.NODE: [{"node": []}],
    Access.VIEWER: [{"operator": []}],
    Access.ADMIN: [{"operator": []}],
}

_MEANING = {
    400: "The body is not JSON.",
    401: "No proof of who is calling, or a bad one.",
    403: "Not allowed.",
    404: "No such thing.",
    409: "The present state forbids it.",
    413: "The body is too long.",
    422: "A field does not fit; `error.field` is its path.",
    503: "The control plane can't do it now; try again.",
}


def document(routes: tuple[Route, ...], deployment: str) -> dict[str, Any]:
    """The whole document, as plain objects."""
    types = [kind for route in routes for kind in (route.body, route.result) if kind is not None]
    schemas, components = msgspec.json.schema_components(
        [*types, Error], schema_hook=_schema, ref_template="#/components/schemas/{name}"
    )
    # Types are unhashable where they hold generics: keep them beside their schema.
    found = list(zip([*types, Error], schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, found)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": f"Anycastle control plane of deployment {deployment}",
            "version": __version__,
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "operator": {"type": "http", "scheme": "bearer"},
                "node": {"type": "mutualTLS", "description": "CN = node, O = deployment."},
            },
        },
    }


def _schema(kind: type) -> dict[str, Any]:
    return dict(_TEXT[kind])


def _operation(route: Route, found: list[tuple[Any, dict[str, Any]]]) -> dict[str, Any]:
    def reference(kind: Any) -> dict[str, Any]:
        return next(schema for known, schema in found if known == kind)

    operation: dict[str, Any] = {
        "operationId": f"{route.handler.__module__.rpartition('.')[2]}_{route.handler.__name__}",
        "summary": route.summary,
        "parameters": _parameters(route),
        "responses": _responses(route, reference),
        "security": _SECURITY[route.access],
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": reference(route.body)}},
        }
    return operation


def _parameters(route: Route) -> list[dict[str, Any]]:
    in_path = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", route.path)
    ]
    in_query = [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.text,
            "schema": {"type": parameter.kind},
        }
        for parameter in route.query
    ]
    return in_path + in_query


def _responses(route: Route, reference: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {"description": route.summary}
    if route.stream is not None:
        answer["content"] = {route.stream: {"schema": {"type": "string"}}}
    elif route.result is not None:
        answer["content"] = {"application/json": {"schema": reference(route.result)}}
    errors = {*_ALWAYS[route.access], *route.errors}
    errors |= {400, 413, 422, 503} if route.body is not None else set()
    errors |= {422} if route.query else set()
    failure = {"application/json": {"schema": reference(Error)}}
    return {
        str(route.status): answer,
        **{str(s): {"description": _MEANING[s], "content": failure} for s in sorted(errors)},
    }
