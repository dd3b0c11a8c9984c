"""What a route is. Handlers are plain functions of a Call, without aiohttp in sight
(streams apart)."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from aiohttp import web

from anycastle.control.auth import NodeIdentity, Operator
from anycastle.control.errors import Invalid
from anycastle.control.services import Services

T = TypeVar("T")

SMALL = 64 << 10
"""Bytes that an ordinary body may have."""


class Access(enum.StrEnum):
    """Who may call. open: anybody (a join proves itself by its body)."""

    OPEN = "open"
    NODE = "node"
    VIEWER = "viewer"
    ADMIN = "admin"


@dataclass(frozen=True)
class Call:
    """One request, proven and decoded.

    body: an instance of the route's body type, None without one.
    """

    services: Services
    request: web.Request
    path: Mapping[str, str]
    query: Mapping[str, str]
    body: Any = None
    operator: Operator | None = None
    node: NodeIdentity | None = None

    @property
    def actor(self) -> str:
        """How events name the caller."""
        return self.operator.actor if self.operator else "control"

    @property
    def caller(self) -> NodeIdentity:
        """The node that calls, on routes with Access.NODE."""
        assert self.node is not None  # dispatch has seen to it
        return self.node

    def number(self, name: str, default: int | None, lowest: int, highest: int) -> int | None:
        """An integer of the query. Raises Invalid."""
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdecimal()) or not lowest <= int(text) <= highest:
            raise Invalid(name, f"expected an integer from {lowest} to {highest}, got {text!r}")
        return int(text)


Handler = Callable[[Call], Awaitable[object]]


@dataclass(frozen=True)
class Parameter:
    """A parameter of the query. kind: its JSON type."""

    name: str
    kind: Literal["integer", "string"]
    text: str


@dataclass(frozen=True)
class Route:
    """body, result: types of the JSON documents; result None: no content, or a stream.

    stream: content type of a result that is not one JSON document.
    limit: bytes that the body may have.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    access: Access
    summary: str
    handler: Handler
    body: Any = None
    result: Any = None
    status: int = 200
    query: tuple[Parameter, ...] = ()
    errors: tuple[int, ...] = ()
    stream: str | None = None
    limit: int = SMALL
