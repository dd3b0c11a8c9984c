"""`events`: in order, once each, across broken connections."""

from __future__ import annotations

import json
from typing import Any

import httpx


def event(number: int) -> dict[str, Any]:
    return {
        "id": number,
        "kind": "node.announced",
        "at": 1767323045.25,
        "message": "announces the anycast prefixes",
        "node": "ams-1",
        "client": None,
        "data": {},
    }


def stream(*events: dict[str, Any]) -> httpx.Response:
    return httpx.Response(200, text="".join(json.dumps(e) + "\n\n" for e in events))


REVOKED = httpx.Response(401, json={"error": {"code": "revoked", "message": "token revoked"}})


def test_json_is_one_object_a_line(api: Any) -> None:
    api.answers["GET /v1/events"] = httpx.Response(200, json=[event(1), event(2)])
    lines = api.run("events", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2]
    assert json.loads(lines[0]) == event(1) | {"at": "2026-01-02T03:04:05.250Z"}


def test_for_people(api: Any) -> None:
    api.answers["GET /v1/events"] = httpx.Response(200, json=[event(1)])
    assert api.run("events", "--limit", "5").stdout.split() == [
        "2026-01-02T03:04:05.250Z", "ams-1", "node.announced",
        "announces", "the", "anycast", "prefixes",
    ]  # fmt: skip
    assert dict(api.requests[0].url.params) == {"limit": "5"}


def test_after_zero_is_sent(api: Any) -> None:
    api.answers["GET /v1/events"] = httpx.Response(200, json=[])
    api.run("events", "--after", "0")
    assert dict(api.requests[0].url.params) == {"limit": "50", "after": "0"}


def test_follow_goes_on_after_a_break_and_repeats_nothing(api: Any) -> None:
    api.answers["GET /v1/events"] = [
        httpx.Response(200, json=[event(1)]),
        stream(event(2), event(3)),
        httpx.ConnectError("refused"),
        httpx.Response(503, json={"error": {"code": "x", "message": "starting"}}),
        stream(event(4)),
        REVOKED,
    ]
    result = api.run("events", "--follow", "--json")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == [1, 2, 3, 4]
    assert [r.url.params["after"] for r in api.requests[1:]] == ["1", "3", "3", "3", "4"]
    assert all(r.url.params["follow"] == "1" for r in api.requests[1:])
    assert api.slept == [1.0, 2.0, 4.0, 1.0]
    assert result.exit_code == 5
    assert "token revoked" in result.stderr


def test_follow_fails_at_once_when_the_api_was_never_there(api: Any) -> None:
    api.answers["GET /v1/events"] = httpx.ConnectError("refused")
    assert api.run("events", "--follow").exit_code == 4
    assert api.slept == []


def test_ctrl_c_ends_it_quietly(api: Any) -> None:
    def interrupt(request: httpx.Request) -> httpx.Response:
        raise KeyboardInterrupt

    api.answers["GET /v1/events"] = [httpx.Response(200, json=[]), interrupt]
    result = api.run("events", "--follow")
    assert (result.exit_code, result.stderr) == (130, "")
