"""`client list`, `show`, `remove`."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest


@pytest.fixture
def api(api: Any, shapes: Any) -> Any:
    served = shapes.client_view(
        "laptop",
        owner="ams-1",
        endpoint="203.0.113.1:40000",
        latest_handshake="2026-01-02T03:04:05Z",
    )
    api.answers["GET /v1/clients"] = httpx.Response(200, json=[shapes.client_view(), served])
    api.answers["GET /v1/clients/laptop"] = httpx.Response(200, json=served)
    api.answers["DELETE /v1/clients/laptop"] = httpx.Response(204)
    return api


def test_list_json_shape(api: Any) -> None:
    assert json.loads(api.run("client", "list", "--json").stdout) == [
        {
            "name": "phone",
            "addresses": ["10.200.0.16", "fd00:200::10"],
            "owner": None,
            "endpoint": None,
            "latest_handshake": None,
        },
        {
            "name": "laptop",
            "addresses": ["10.200.0.16", "fd00:200::10"],
            "owner": "ams-1",
            "endpoint": "203.0.113.1:40000",
            "latest_handshake": "2026-01-02T03:04:05Z",
        },
    ]


def test_list_is_a_plain_table_off_a_terminal(api: Any) -> None:
    lines = api.run("client", "list").stdout.splitlines()
    assert lines[0].split()[:3] == ["NAME", "ADDRESSES", "OWNER"]
    assert lines[2].split() == [
        "laptop", "10.200.0.16,", "fd00:200::10", "ams-1", "203.0.113.1:40000",
        "2026-01-02T03:04:05Z",
    ]  # fmt: skip
    assert "\x1b" not in "".join(lines)
    assert all(line == line.rstrip() for line in lines)


def test_hostile_text_does_not_steer_the_terminal(api: Any, shapes: Any) -> None:
    view = shapes.client_view("x", endpoint="\x1b]0;owned\x07")
    api.answers["GET /v1/clients"] = httpx.Response(200, json=[view])
    assert not {"\x1b", "\x07"} & set(api.run("client", "list").stdout)


def test_show(api: Any) -> None:
    assert "owner             ams-1" in api.run("client", "show", "laptop").stdout
    shown = json.loads(api.run("client", "show", "laptop", "--json").stdout)
    assert shown["owner"] == "ams-1"
    assert shown["public_key"]
    assert shown["created_at"]


def test_show_suggests_the_nearest_name(api: Any) -> None:
    result = api.run("client", "show", "laptpo")
    assert result.exit_code == 3
    assert result.stderr == (
        "Error: no client is called 'laptpo' (did you mean laptop?): see `anycastle client list`\n"
    )


def test_remove_asks(api: Any) -> None:
    result = api.run("client", "remove", "laptop", answer="y\n")
    assert result.exit_code == 0
    assert "Remove laptop (10.200.0.16, fd00:200::10, served by ams-1)?" in result.stderr
    assert api.requests[-1].method == "DELETE"


@pytest.mark.parametrize(("answer", "says"), [("n\n", "nothing removed"), ("", "--yes")])
def test_remove_needs_a_yes(api: Any, answer: str, says: str) -> None:
    result = api.run("client", "remove", "laptop", answer=answer)
    assert result.exit_code == 1
    assert says in result.stderr
    assert all(request.method == "GET" for request in api.requests)


def test_remove_with_yes_does_not_ask(api: Any) -> None:
    result = api.run("client", "remove", "laptop", "--yes")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "removed laptop (10.200.0.16, fd00:200::10)\n"


def test_names_are_one_segment_of_the_path(api: Any) -> None:
    assert api.run("client", "show", "../tokens").exit_code == 3
    assert api.requests[0].url.raw_path == b"/v1/clients/..%2Ftokens"
