"""What operators call: every good answer's shape, every error's code and field."""

from __future__ import annotations

import asyncio
import base64
import os

import pytest
from openapi_spec_validator import validate

from anycastle.control import auth, provision
from anycastle.model import codec
from anycastle.model.api import ClientCreated, ClientView, TokenView
from anycastle.model.codec import Key
from anycastle.model.status import Event
from tests.support.control_plane import Api, World, run_api

KEY = base64.b64encode(b"k" * 32).decode()
CLIENT = {"name": "laptop", "public_key": KEY}


async def test_a_client_is_enrolled_shown_and_removed(api: Api) -> None:
    answer = await api.call("POST", "/v1/clients", CLIENT)
    assert answer.status == 201
    created = codec.from_json(answer.data, ClientCreated)
    assert [str(a) for a in created.client.addresses] == ["10.200.0.16", "fd00:200::10"]
    assert created.connection.endpoints == ("192.0.2.1:51820", "[2001:db8:a::1]:51820")
    assert created.connection.allowed_ips == ("10.200.0.0/16", "fd00:200::/64", "10.50.1.0/24")
    assert created.revision == 1
    shown = codec.from_json((await api.call("GET", "/v1/clients/laptop")).data, ClientView)
    assert shown == created.client
    listed = codec.from_json((await api.call("GET", "/v1/clients")).data, list[ClientView])
    assert listed == [created.client]
    removed = await api.call("DELETE", "/v1/clients/laptop")
    assert (removed.status, removed.json["revision"]) == (200, 2)
    assert (await api.call("GET", "/v1/clients/laptop")).error == (404, "not_found", None)
    assert (await api.call("DELETE", "/v1/clients/laptop")).error == (404, "not_found", None)


async def test_clients_are_listed_by_name_in_pages(api: Api) -> None:
    for name in ("b", "C", "a", "d"):
        await api.add(name)

    async def names(query: str) -> list[str]:
        answer = await api.call("GET", "/v1/clients" + query)
        return [client.name for client in codec.from_json(answer.data, list[ClientView])]

    assert await names("") == ["C", "a", "b", "d"]
    assert await names("?limit=2") == ["C", "a"]
    assert await names("?after=a&limit=2") == ["b", "d"]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        (b"{", 400, "malformed_body", None),
        (b"", 400, "malformed_body", None),
        (b"\xff\xfe", 400, "malformed_body", None),
        (b"[]", 422, "invalid_field", None),
        ({"public_key": KEY}, 422, "invalid_field", None),
        ({**CLIENT, "name": 3}, 422, "invalid_field", "name"),
        ({**CLIENT, "name": ""}, 422, "invalid_field", "name"),
        ({**CLIENT, "name": "a/b"}, 422, "invalid_field", "name"),
        ({**CLIENT, "name": "x" * 64}, 422, "invalid_field", "name"),
        ({**CLIENT, "name": "nul\0"}, 422, "invalid_field", "name"),
        ({**CLIENT, "nmae": "x"}, 422, "invalid_field", None),
        ({**CLIENT, "public_key": "short"}, 422, "invalid_field", "public_key"),
        ({**CLIENT, "public_key": KEY[:-4]}, 422, "invalid_field", "public_key"),
        ({**CLIENT, "public_key": "?" * 44}, 422, "invalid_field", "public_key"),
        ({**CLIENT, "public_key": 7}, 422, "invalid_field", "public_key"),
        ({**CLIENT, "public_key": Key(bytes(32)).text}, 422, "invalid_field", "public_key"),
        ({**CLIENT, "public_key": Key(b"s" * 32).text}, 422, "invalid_field", "public_key"),
        ({**CLIENT, "preshared_key": "short"}, 422, "invalid_field", "preshared_key"),
        ({**CLIENT, "addresses": "10.200.0.20"}, 422, "invalid_field", "addresses"),
        ({**CLIENT, "addresses": ["10.200.0.999"]}, 422, "invalid_field", "addresses[0]"),
        ({**CLIENT, "addresses": ["10.201.0.1"]}, 422, "invalid_field", "addresses[0]"),
        ({**CLIENT, "addresses": ["10.200.0.2"]}, 422, "invalid_field", "addresses[0]"),
        ({**CLIENT, "addresses": ["10.200.0.20", "10.200.0.21"]}, 422, "invalid_field",
         "addresses[1]"),
    ],
)  # fmt: skip
async def test_a_bad_body_is_refused_and_changes_nothing(
    api: Api, body: object, status: int, code: str, field: str | None
) -> None:
    answer = await api.call("POST", "/v1/clients", body)
    assert answer.error == (status, code, field), answer.data
    assert (await api.call("GET", "/v1/clients")).data == b"[]"
    assert (await api.call("GET", "/v1/status")).json["revision"] == 0


async def test_what_is_taken_is_refused_by_name(api: Api) -> None:
    await api.call("POST", "/v1/clients", {**CLIENT, "addresses": ["10.200.0.99"]})
    assert (await api.add("laptop")).error == (409, "name_taken", "name")
    assert (await api.add("phone", b"k" * 32)).error == (409, "key_taken", "public_key")
    taken = await api.add("phone", addresses=["10.200.0.99"])
    assert taken.error == (409, "address_taken", "addresses")
    status = (await api.call("GET", "/v1/status")).json
    assert (status["revision"], status["clients"]) == (1, {"enrolled": 1, "connected": 0})
    # A failed one burns neither a revision nor an address.
    assert (await api.add("phone")).json["client"]["addresses"][0] == "10.200.0.16"  # type: ignore[index]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/clients"), ("POST", "/v1/clients"), ("GET", "/v1/status"), ("GET", "/metrics")],
)
async def test_operators_calls_need_a_token(world: World, api: Api, method: str, path: str) -> None:
    async with api.session.request(method, api.url + path) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"] == "Bearer"
        assert b"token_missing" in await response.read()
    assert (await api.call(method, path, token="wrong")).error == (401, "token_unknown", None)
    ended = await provision.operator_token(world.spec, "ended", auth.Role.ADMIN, 0.01, None)
    await asyncio.sleep(0.02)
    assert (await api.call(method, path, token=ended)).error == (401, "token_expired", None)


async def test_a_viewer_may_read_only(world: World, api: Api) -> None:
    viewer = await provision.operator_token(world.spec, "eve", auth.Role.VIEWER, None, None)
    assert (await api.call("GET", "/v1/clients", token=viewer)).status == 200
    for method, path, body in (
        ("POST", "/v1/clients", CLIENT),
        ("DELETE", "/v1/clients/laptop", None),
        ("GET", "/v1/tokens", None),
        ("DELETE", "/v1/nodes/ams-1", None),
    ):
        answer = await api.call(method, path, body, token=viewer)
        assert answer.error == (403, "role_insufficient", None)


async def test_tokens_are_made_listed_and_revoked(api: Api) -> None:
    body = {"kind": "operator", "name": "bob", "role": "viewer", "expires_in": 3600}
    made = await api.call("POST", "/v1/tokens", body)
    assert made.status == 201
    secret, token = made.json["secret"], made.json["token"]
    assert isinstance(secret, str)
    assert isinstance(token, dict)
    assert (await api.call("GET", "/v1/status", token=secret)).status == 200
    assert (await api.call("POST", "/v1/tokens", body)).error == (409, "name_taken", "name")
    listed = await api.call("GET", "/v1/tokens")
    assert secret.encode() not in listed.data
    assert {t.name for t in codec.from_json(listed.data, list[TokenView])} >= {"bob"}
    assert (await api.call("DELETE", f"/v1/tokens/{token['id']}")).json["revoked_at"] is not None
    revoked = await api.call("GET", "/v1/status", token=secret)
    assert revoked.error == (401, "token_revoked", None)
    assert (await api.call("POST", "/v1/tokens", body)).status == 201
    for unknown in ("nonsense", "00000000-0000-0000-0000-000000000000"):
        gone = await api.call("DELETE", f"/v1/tokens/{unknown}")
        assert gone.error == (404, "not_found", None)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "king", "name": "x"}, "kind"),
        ({"kind": "operator", "name": "x"}, "role"),
        ({"kind": "operator", "name": "x", "role": "god"}, "role"),
        ({"kind": "operator", "name": "x", "role": "admin", "node": "ams-1"}, "node"),
        ({"kind": "operator", "name": "", "role": "admin"}, "name"),
        ({"kind": "operator", "name": "x", "role": "admin", "expires_in": -1}, "expires_in"),
        ({"kind": "operator", "name": "x", "role": "admin", "expires_in": "soon"}, "expires_in"),
        ({"kind": "join", "name": "x"}, "node"),
        ({"kind": "join", "name": "x", "node": "ams-1", "role": "admin"}, "role"),
    ],
)
async def test_a_bad_token_request_names_the_field(
    api: Api, body: dict[str, object], field: str
) -> None:
    assert (await api.call("POST", "/v1/tokens", body)).error == (422, "invalid_field", field)


async def test_events_tell_who_did_what_and_go_on(api: Api) -> None:
    await api.add("one")
    path = f"{api.url}/v1/events?follow=1"
    headers = {"Authorization": f"Bearer {api.token}"}
    async with api.session.get(path, headers=headers) as response:
        seen = [codec.from_json(await response.content.readline(), Event) for _ in range(2)]
        assert [event.kind for event in seen] == ["token.created", "client.added"]
        await api.add("two")
        await api.call("DELETE", "/v1/clients/one")
        async with asyncio.timeout(5):
            seen += [codec.from_json(await response.content.readline(), Event) for _ in range(2)]
    assert [event.kind for event in seen[2:]] == ["client.added", "client.removed"]
    assert "removed client one" in seen[-1].message
    ids = [event.id or 0 for event in seen]
    assert ids == sorted(ids)
    after = await api.call("GET", f"/v1/events?after={ids[1]}&limit=1")
    assert [event.id for event in codec.from_json(after.data, list[Event])] == [ids[2]]


@pytest.mark.parametrize(
    ("query", "field"), [("after=x", "after"), ("limit=-1", "limit"), ("nope=1", "nope")]
)
async def test_a_bad_query_names_the_parameter(api: Api, query: str, field: str) -> None:
    answer = await api.call("GET", f"/v1/events?{query}")
    assert answer.error == (422, "invalid_field", field)


async def test_bodies_have_a_limit(api: Api) -> None:
    answer = await api.call("POST", "/v1/clients", b" " * (65 << 10))
    assert answer.error == (413, "body_too_large", None)

    async def endless() -> object:
        for _ in range(100):
            yield b" " * 1024

    headers = {"Authorization": f"Bearer {api.token}"}
    url = f"{api.url}/v1/clients"
    async with api.session.post(url, data=endless(), headers=headers) as response:
        assert response.status == 413


async def test_unknown_paths_and_methods_answer_in_the_same_shape(api: Api) -> None:
    assert (await api.call("GET", "/v2/clients")).error == (404, "not_found", None)
    assert (await api.call("PUT", "/v1/clients")).error == (405, "method_not_allowed", None)


async def test_the_openapi_document_is_valid_and_whole(api: Api) -> None:
    async with api.session.get(f"{api.url}/openapi.json") as response:
        document = await response.json()
    validate(document)
    assert {"/v1/clients", "/v1/join", "/v1/agent/feed", "/healthz"} <= set(document["paths"])
    create = document["paths"]["/v1/clients"]["post"]
    assert set(create["responses"]) == {"201", "400", "401", "403", "409", "413", "422", "503"}


async def test_pools_are_exhausted_and_recover(world: World) -> None:
    async with run_api(world.with_pools("10.9.0.0/27", "fd00:9::/64")) as api:
        for number in range(16):
            assert (await api.add(f"client-{number}")).status == 201
        full = await api.add("one-too-many")
        assert full.error == (409, "pool_exhausted", None)
        assert b"10.9.0.0/27" in full.data
        await api.call("DELETE", "/v1/clients/client-3")
        again = await api.add("late")
        assert again.json["client"]["addresses"] == ["10.9.0.19", "fd00:9::13"]  # type: ignore[index]


async def test_concurrent_enrolments_on_two_processes_share_nothing(world: World) -> None:
    async with run_api(world) as first, run_api(world) as second:
        apis = (first, second)
        answers = await asyncio.gather(
            *(apis[n % 2].add(f"client-{n}", os.urandom(32)) for n in range(60))
        )
        assert {answer.status for answer in answers} == {201}
        views = codec.from_json((await first.call("GET", "/v1/clients")).data, list[ClientView])
        v4 = sorted(int(view.addresses[0]) for view in views)
        assert v4 == list(range(v4[0], v4[0] + 60))
        revisions = sorted(answer.json["revision"] for answer in answers)  # type: ignore[type-var]
        assert revisions == list(range(1, 61))
