"""A control plane in a few lines: answers what a test tells it to, remembers what came."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from click.testing import CliRunner, Result

from anycastle.cli import stack
from anycastle.cli.edges import Edges
from anycastle.cli.main import cli

ENVIRONMENT = {
    "ANYCASTLE_URL": "https://192.0.2.10:8443",
    "ANYCASTLE_TOKEN": "a-token",
    "ANYCASTLE_CA": "/nonexistent/ca.pem",
    "COLUMNS": "80",
}

SERVICE_KEY = "c2VydmljZS1rZXktc2VydmljZS1rZXktc2VydmljZTA="


def client_view(name: str = "phone", **changes: Any) -> dict[str, Any]:
    return {
        "id": "7d0e",
        "name": name,
        "addresses": ["10.200.0.16", "fd00:200::10"],
        "public_key": SERVICE_KEY,
        "owner": None,
        "endpoint": None,
        "latest_handshake": None,
        "created_at": "2026-01-02T03:04:05Z",
    } | changes


def node_view(name: str = "ams-1", **changes: Any) -> dict[str, Any]:
    return {
        "name": name,
        "datacentre": "ams",
        "state": "UP",
        "announcing": True,
        "sessions": 2,
        "revision": 7,
        "routing": "bird",
        "wireguard": "userspace",
        "takeover": "bpf",
        "version": "0.1.0",
        "reason": "",
        "last_report": "2026-01-02T03:04:05Z",
        "probes": [],
    } | changes


def connection() -> dict[str, Any]:
    return {
        "endpoints": ["192.0.2.1:51820", "[2001:db8:a::1]:51820"],
        "service_public_key": SERVICE_KEY,
        "allowed_ips": ["10.200.0.0/16", "fd00:200::/64"],
        "mtu": 1380,
        "keepalive": 25,
    }


def refusal(code: str, message: str, field: str | None = None) -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "field": field}}


def created(request: httpx.Request) -> httpx.Response:
    """What POST /v1/clients answers to a good request."""
    body = json.loads(request.content)
    view = client_view(body["name"], public_key=body["public_key"])
    return httpx.Response(201, json={"client": view, "connection": connection(), "revision": 8})


Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


@dataclass
class FakeApi:
    """answers: by `METHOD /path`; a list is used up in order. Unknown ones are 404.

    stacks: what `pulumi stack output` says, by stack.
    """

    answers: dict[str, Answer | list[Answer]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    executed: list[list[str]] = field(default_factory=list)
    stacks: dict[str, stack.Answer] = field(default_factory=dict)

    def pulumi(self, command: Sequence[str]) -> stack.Answer:
        *words, name = command
        assert words == ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack"]
        return self.stacks.get(name, stack.Answer(255, "", f"error: no stack named '{name}' found"))

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.get(f"{request.method} {request.url.raw_path.decode().split('?')[0]}")
        if isinstance(answer, list):
            answer = answer.pop(0)
        if answer is None:
            return httpx.Response(404, json=refusal("not_found", "there is no such thing"))
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def run(
        self, *arguments: str, answer: str | None = None, env: Mapping[str, str | None] = {}
    ) -> Result:
        """The command's result; a failure of the command itself is raised here."""
        edges = Edges(
            transport=httpx.MockTransport(self),
            sleep=self.slept.append,
            execute=lambda command: self.executed.append(list(command)),
            run=self.pulumi,
        )
        result = CliRunner().invoke(
            cli,
            arguments,
            input=answer,
            env=ENVIRONMENT | dict(env),
            obj=edges,
            prog_name="anycastle",
        )
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    def sent(self, index: int = -1) -> Any:
        return json.loads(self.requests[index].content)


class Shapes:
    """Bodies that tests answer with."""

    client_view = staticmethod(client_view)
    node_view = staticmethod(node_view)
    refusal = staticmethod(refusal)
    created = staticmethod(created)
    connection = staticmethod(connection)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def shapes() -> type[Shapes]:
    return Shapes
