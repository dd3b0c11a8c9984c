"""All routes. A new one is one entry here and one handler in its noun's module."""

from __future__ import annotations

from anycastle.control.api import agent, agent_feed, clients, events, nodes, status, tokens
from anycastle.control.api.events import LINES
from anycastle.control.api.route import Access, Parameter, Route
from anycastle.model.api import (
    Certificate,
    ClientCreate,
    ClientCreated,
    ClientRemoved,
    ClientView,
    Connection,
    JoinRequest,
    NodeDrain,
    NodeView,
    RenewRequest,
    Status,
    TokenCreate,
    TokenCreated,
    TokenView,
)
from anycastle.model.status import Event, NodeReport

_CLIENTS = (
    Route(
        "GET",
        "/v1/clients",
        Access.VIEWER,
        "All clients, by name",
        clients.list_all,
        result=list[ClientView],
        query=(
            Parameter("after", "string", "Start behind this name."),
            Parameter("limit", "integer", "At most so many."),
        ),
    ),
    Route(
        "POST",
        "/v1/clients",
        Access.ADMIN,
        "Enrol a client",
        clients.create,
        body=ClientCreate,
        result=ClientCreated,
        status=201,
        errors=(409,),
    ),
    Route(
        "GET",
        "/v1/clients/{name}",
        Access.VIEWER,
        "One client and its session",
        clients.show,
        result=ClientView,
        errors=(404,),
    ),
    Route(
        "GET",
        "/v1/connection",
        Access.VIEWER,
        "What every client of the deployment has in its file",
        clients.show_connection,
        result=Connection,
    ),
    Route(
        "DELETE",
        "/v1/clients/{name}",
        Access.ADMIN,
        "Remove a client: every node cuts it off",
        clients.remove,
        result=ClientRemoved,
        errors=(404,),
    ),
)

_NODES = (
    Route(
        "GET",
        "/v1/nodes",
        Access.VIEWER,
        "All nodes, by name",
        nodes.list_all,
        result=list[NodeView],
    ),
    Route(
        "GET",
        "/v1/nodes/{name}",
        Access.VIEWER,
        "One node",
        nodes.show,
        result=NodeView,
        errors=(404,),
    ),
    Route(
        "POST",
        "/v1/nodes/{name}/drain",
        Access.ADMIN,
        "Take a node out of service in good order; it stays out until it is resumed",
        nodes.drain,
        body=NodeDrain,
        result=NodeView,
        errors=(404, 409),
    ),
    Route(
        "POST",
        "/v1/nodes/{name}/resume",
        Access.ADMIN,
        "Bring a drained node back into service",
        nodes.resume,
        result=NodeView,
        errors=(404,),
    ),
    Route(
        "DELETE",
        "/v1/nodes/{name}",
        Access.ADMIN,
        "Forget a node that left the deployment and revoke its certificates",
        nodes.remove,
        status=204,
        errors=(404,),
    ),
)

_TOKENS = (
    Route(
        "GET",
        "/v1/tokens",
        Access.ADMIN,
        "All tokens, newest first, without their secrets",
        tokens.list_all,
        result=list[TokenView],
    ),
    Route(
        "POST",
        "/v1/tokens",
        Access.ADMIN,
        "Make a token; its secret is in this answer and nowhere else",
        tokens.create,
        body=TokenCreate,
        result=TokenCreated,
        status=201,
        errors=(409,),
    ),
    Route(
        "DELETE",
        "/v1/tokens/{id}",
        Access.ADMIN,
        "Revoke a token",
        tokens.revoke,
        result=TokenView,
        errors=(404,),
    ),
)

_EVENTS = (
    Route(
        "GET",
        "/v1/events",
        Access.VIEWER,
        "What happened: the newest events, or those after an id; a stream with follow=1",
        events.read,
        result=list[Event],
        query=(
            Parameter("after", "integer", "Only events with a greater id."),
            Parameter("limit", "integer", "At most so many (100)."),
            Parameter("follow", "integer", f"1: an endless {LINES} stream, one event a line."),
        ),
    ),
    Route("GET", "/v1/status", Access.VIEWER, "The whole deployment", status.status, result=Status),
)

_AGENT = (
    Route(
        "POST",
        "/v1/join",
        Access.OPEN,
        "A node's first call: join token and CSR for a certificate",
        agent.join,
        body=JoinRequest,
        result=Certificate,
        errors=(401, 403),
    ),
    Route(
        "POST",
        "/v1/agent/renew",
        Access.OPEN,
        "A new certificate, over mTLS or with the expired one in the body",
        agent.renew,
        body=RenewRequest,
        result=Certificate,
        errors=(401, 403),
    ),
    Route(
        "GET",
        "/v1/agent/feed",
        Access.NODE,
        "Frames without end: a snapshot unless `revision` can be resumed, then changes",
        agent_feed.read,
        stream="application/octet-stream",
        query=(
            Parameter("revision", "integer", "What the agent has."),
            Parameter("epoch", "string", "The epoch that its revision belongs to."),
        ),
    ),
    Route(
        "POST",
        "/v1/agent/report",
        Access.NODE,
        "A node's status",
        agent.report,
        body=NodeReport,
        status=204,
        limit=64 << 20,
    ),
    Route(
        "POST",
        "/v1/agent/events",
        Access.NODE,
        "What happened on a node; repeated ones are stored once",
        agent.add_events,
        body=list[Event],
        status=204,
        limit=4 << 20,
    ),
)

_PROCESS = (
    Route(
        "GET",
        "/healthz",
        Access.OPEN,
        "Can this process serve?",
        status.health,
        result=dict[str, str],
        errors=(503,),
    ),
    Route(
        "GET",
        "/metrics",
        Access.VIEWER,
        "Prometheus metrics",
        status.metrics,
        stream="text/plain; version=0.0.4",
    ),
)

ROUTES: tuple[Route, ...] = (*_CLIENTS, *_NODES, *_TOKENS, *_EVENTS, *_AGENT, *_PROCESS)
