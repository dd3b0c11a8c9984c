"""The agent's HTTP server: health for load balancers and people, metrics, status.

GET /healthz     200 while the process and its loop work, else 503
GET /readyz      200 while the node is UP, else 503; JSON with the reason and probes
GET /metrics     Prometheus text format
GET /v1/status   the node's report (model.status.NodeReport) as JSON
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass

from aiohttp import web

from anycastle.model import codec
from anycastle.model.status import NodeReport, NodeState

PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Answers:
    """Where the answers come from. stuck: why the loop counts as dead, "" when it lives."""

    stuck: Callable[[], str]
    report: Callable[[], NodeReport]
    metrics: Callable[[], bytes]


def application(answers: Answers) -> web.Application:
    async def healthz(_: web.Request) -> web.Response:
        stuck = answers.stuck()
        return web.Response(text=(stuck or "ok") + "\n", status=503 if stuck else 200)

    async def readyz(_: web.Request) -> web.Response:
        report = answers.report()
        ready = report.state is NodeState.UP
        body = {
            "ready": ready,
            "state": report.state,
            "announcing": report.announcing,
            "reason": report.reason,
            "revision": report.revision,
            "probes": report.probes,
            "drain": report.drain,
        }
        return _json(body, status=200 if ready else 503)

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(body=answers.metrics(), headers={"Content-Type": PROMETHEUS})

    async def status(_: web.Request) -> web.Response:
        return _json(answers.report())

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/metrics", metrics)
    app.router.add_get("/v1/status", status)
    return app


def _json(value: object, status: int = 200) -> web.Response:
    body = codec.to_json(value) + b"\n"
    return web.Response(body=body, status=status, content_type="application/json")


async def serve(answers: Answers, port: int) -> web.AppRunner:
    """Listen on `port` of every address, IPv4 and IPv6. Raises OSError. `cleanup()` ends it."""
    runner = web.AppRunner(application(answers), access_log=None, handle_signals=False)
    await runner.setup()
    await web.SockSite(runner, _listener(port)).start()
    return runner


def _listener(port: int) -> socket.socket:
    if not socket.has_dualstack_ipv6():
        return socket.create_server(("", port))
    return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
