"""`status`, `node`, `token`: shapes and tables."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

TOKEN = {
    "id": "3fd0a1",
    "kind": "operator",
    "name": "ci",
    "role": "viewer",
    "node": None,
    "created_at": "2026-01-02T03:04:05Z",
    "expires_at": None,
    "used_at": None,
    "revoked_at": None,
}


@pytest.fixture
def api(api: Any, shapes: Any) -> Any:
    probe = {"name": "bgp", "healthy": False, "detail": "no session with ams-edge"}
    ill = shapes.node_view(
        "fra-1",
        state="DOWN",
        announcing=False,
        reason="bgp",
        probes=[probe],
        takeover="none: this kernel has no BPF",
        takeovers={"confirmed": 7, "gave_up": 2, "relayed": 30, "delivered": 4},
    )
    nodes = [shapes.node_view(), ill]
    api.answers["GET /v1/nodes"] = httpx.Response(200, json=nodes)
    api.answers["GET /v1/nodes/fra-1"] = httpx.Response(200, json=ill)
    api.answers["GET /v1/status"] = httpx.Response(
        200,
        json={
            "deployment": "lab",
            "revision": 7,
            "anycast": ["192.0.2.1", "2001:db8:a::1"],
            "nodes": nodes,
            "clients": {"enrolled": 4, "connected": 3},
        },
    )
    api.answers["GET /v1/tokens"] = httpx.Response(200, json=[TOKEN])
    api.answers["DELETE /v1/tokens/3fd0a1"] = httpx.Response(204)
    api.answers["POST /v1/tokens"] = lambda request: httpx.Response(
        201, json={"token": TOKEN | json.loads(request.content), "secret": "ac_secret"}
    )
    return api


def test_status_json_shape(api: Any) -> None:
    printed = json.loads(api.run("status", "--json").stdout)
    assert list(printed) == ["deployment", "anycast", "nodes", "clients"]
    assert printed["anycast"] == ["192.0.2.1", "2001:db8:a::1"]
    assert printed["clients"] == {"enrolled": 4, "connected": 3}
    assert printed["nodes"][0] == {
        "name": "ams-1",
        "datacentre": "ams",
        "state": "UP",
        "announcing": True,
        "sessions": 2,
        "revision": 7,
        "routing": "bird",
        "wireguard": "userspace",
        "takeover": "bpf",
        "version": "0.1.0",
        "drain": None,
    }


@pytest.mark.parametrize(
    ("takeover", "says"),
    [
        ("bpf", ""),
        ("none: no BPF", "no takeover: no BPF"),
        ("nftables: bpf: no BPF", "takeover by nftables: bpf: no BPF"),
        ("off: table busy", "takeover is off: table busy"),
    ],
)
def test_what_ails_a_packet_path_is_a_sentence(
    api: Any, shapes: Any, takeover: str, says: str
) -> None:
    view = shapes.node_view("ams-2", takeover=takeover)
    api.answers["GET /v1/nodes"] = httpx.Response(200, json=[view])
    lines = api.run("node", "list").stdout.splitlines()
    assert takeover.partition(":")[0] in lines[1].split()
    assert lines[2:] == (["", f"ams-2: {says}"] if says else [])


def test_status_for_people(api: Any) -> None:
    assert api.run("status").stdout == (
        "deployment  lab\n"
        "anycast     192.0.2.1, 2001:db8:a::1\n"
        "clients     4 enrolled, 3 connected\n"
        "revision    7\n"
        "\n"
        "NAME   DATACENTRE  STATE  ANNOUNCING  SESSIONS  REVISION  ROUTING  WIREGUARD  TAKEOVER  "
        "VERSION\n"
        "ams-1  ams         UP     yes         2         7         bird     userspace  bpf       "
        "0.1.0\n"
        "fra-1  ams         DOWN   no          2         7         bird     userspace  none      "
        "0.1.0\n"
        "\n"
        "fra-1: bgp\n"
        "\n"
        "fra-1: no takeover: this kernel has no BPF\n"
    )


def test_node_list(api: Any) -> None:
    assert [n["name"] for n in json.loads(api.run("node", "list", "--json").stdout)] == [
        "ams-1",
        "fra-1",
    ]
    assert "fra-1  ams         DOWN" in api.run("node", "list").stdout


def test_node_show_has_the_probes(api: Any) -> None:
    text = api.run("node", "show", "fra-1").stdout
    assert "bgp    BAD     no session with ams-edge" in text
    assert "takeover     none: this kernel has no BPF\n" in text
    assert "taken over   7 clients, gave up on 2\n" in text
    assert "relayed      30 packets to others, 4 from others\n" in text
    shown = json.loads(api.run("node", "show", "fra-1", "--json").stdout)
    assert shown["probes"][0]["detail"] == "no session with ams-edge"


def test_node_show_suggests(api: Any) -> None:
    result = api.run("node", "show", "fra1")
    assert result.exit_code == 3
    assert "did you mean fra-1?" in result.stderr


def test_token_create_prints_the_secret_alone(api: Any) -> None:
    result = api.run("token", "create", "ci", "--expires-in", "30d")
    assert result.stdout == "ac_secret\n"
    assert api.sent() == {
        "kind": "operator", "name": "ci", "role": "viewer", "node": None,
        "expires_in": 30 * 86400.0,
    }  # fmt: skip


def test_token_for_a_joining_node(api: Any) -> None:
    api.run("token", "create", "fra-3-joins", "--join", "fra-3")
    assert (api.sent()["kind"], api.sent()["node"], api.sent()["role"]) == ("join", "fra-3", None)


def test_join_and_role_exclude_each_other(api: Any) -> None:
    assert api.run("token", "create", "x", "--join", "n", "--role", "admin").exit_code == 2


@pytest.mark.parametrize("bad", ["30", "0s", "-1h", "1w", "", "9e9s"])
def test_bad_duration(api: Any, bad: str) -> None:
    result = api.run("token", "create", "x", "--expires-in", bad)
    assert result.exit_code == 2
    assert "is not a duration like" in result.stderr
    assert api.requests == []


def test_token_list_and_revoke(api: Any) -> None:
    assert json.loads(api.run("token", "list", "--json").stdout) == [TOKEN]
    assert "3fd0a1  ci    operator, viewer  2026-01-02T03:04:05Z" in api.run("token", "list").stdout
    assert api.run("token", "revoke", "3fd0a1").stdout == "revoked 3fd0a1\n"
    assert api.run("token", "revoke", "unknown").exit_code == 3
