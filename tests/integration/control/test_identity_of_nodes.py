"""Joining, renewing, and everything that is no proof of being a node."""

from __future__ import annotations

import asyncio
import ssl
import time
from pathlib import Path

import psycopg
import pytest
from aiohttp import ClientError, ClientSession, TCPConnector

from anycastle.agent import calls
from anycastle.agent.credentials import Credentials
from anycastle.agent.identity import Identity
from anycastle.control import pki, provision
from anycastle.model import codec
from anycastle.model.status import Event, NodeReport, NodeState, Session
from tests.support.agents import issue, node_spec, run_agent, until
from tests.support.control_plane import Answer, Api, World, client_tls, make_authority, run_api

GOOD = Credentials.new()


async def _join(api: Api, token: str, node: str = "ams-1", who: Credentials = GOOD) -> Answer:
    csr = who.request(node, "testing")
    return await api.call("POST", "/v1/join", {"token": token, "node": node, "csr": csr})


async def test_a_token_is_good_for_one_key_of_one_node(world: World, api: Api) -> None:
    token = await provision.join_token(world.spec, "ams-1", None)
    assert (await _join(api, "anycastle-join-wrong")).error == (401, "token_unknown", "token")
    assert (await _join(api, token, "ams-2")).error == (403, "token_other_node", "node")
    joined = await _join(api, token)
    assert joined.status == 200
    assert set(joined.json) == {"certificate", "ca", "expires_at"}
    # The answer may have been lost: the same key may ask again, another may not.
    assert (await _join(api, token)).status == 200
    assert (await _join(api, token, who=Credentials.new())).error == (401, "token_used", "token")


async def test_an_expired_token_is_told_from_a_wrong_one(world: World, api: Api) -> None:
    token = await provision.join_token(world.spec, "ams-1", 0.01)
    await asyncio.sleep(0.02)
    assert (await _join(api, token)).error == (401, "token_expired", "token")


async def test_an_operators_token_is_no_join_token(api: Api) -> None:
    assert (await _join(api, api.token)).error == (401, "token_unknown", "token")


async def test_a_bad_request_for_a_certificate_uses_no_token_up(world: World, api: Api) -> None:
    token = await provision.join_token(world.spec, "ams-1", None)
    body = {"token": token, "node": "ams-1", "csr": "not a request"}
    assert (await api.call("POST", "/v1/join", body)).error == (422, "invalid_field", "csr")
    assert (await _join(api, token)).status == 200


def _as_client(world: World, credentials: Credentials, path: Path) -> ssl.SSLContext:
    context = client_tls(world)
    path.write_bytes(credentials.pem)
    context.load_cert_chain(path)
    return context


async def _as_node(api: Api, credentials: Credentials, path: Path, method: str = "GET",
                   url: str = "/v1/agent/feed", body: object = None) -> Answer:  # fmt: skip
    context = _as_client(api.world, credentials, path)
    data = None if body is None else codec.to_json(body)
    async with (
        ClientSession(connector=TCPConnector(ssl=context)) as session,
        session.request(method, api.url + url, data=data) as response,
    ):
        content = b"" if response.status == 200 else await response.read()
        return Answer(response, content)


async def test_agent_calls_need_a_certificate(api: Api) -> None:
    for method, path in (
        ("GET", "/v1/agent/feed"),
        ("POST", "/v1/agent/report"),
        ("POST", "/v1/agent/events"),
        ("POST", "/v1/agent/renew"),
    ):
        body = {"csr": GOOD.request("ams-1", "testing")} if path.endswith("renew") else None
        answer = await api.call(method, path, body)
        assert answer.error == (401, "certificate_missing", None), path
        assert b"client certificate" in answer.data


async def test_another_deployments_certificate_fails_in_tls_and_says_so(
    api: Api, tmp_path: Path
) -> None:
    foreign = issue(make_authority(tmp_path / "foreign", "testing"), "ams-1")
    with pytest.raises((ClientError, OSError)) as caught:
        await _as_node(api, foreign, tmp_path / "foreign.pem")
    assert "another deployment's" in calls.explain(caught.value)


async def test_a_certificate_of_our_ca_for_another_deployment_is_refused(
    world: World, api: Api, tmp_path: Path
) -> None:
    other = pki.Authority.load(
        Path(world.spec.ca_certificate_file), Path(world.spec.ca_key_file), "another"
    )
    answer = await _as_node(api, issue(other, "ams-1"), tmp_path / "other.pem")
    assert answer.error == (403, "certificate_foreign", None)


async def test_a_server_certificate_is_no_nodes(world: World, api: Api, tmp_path: Path) -> None:
    issued, key = world.authority.issue_server(("ams-1",))
    server = Credentials(key.encode()).with_certificate(issued.certificate)
    with pytest.raises((ClientError, OSError)):
        await _as_node(api, server, tmp_path / "server.pem")


async def test_the_agent_does_not_trust_another_deployments_control_plane(
    world: World, api: Api, tmp_path: Path
) -> None:
    make_authority(tmp_path / "foreign", "testing")
    spec = node_spec(
        world.with_spec(ca_certificate_file=str(tmp_path / "foreign" / "ca.pem")), "ams-1", api.url
    )
    token = tmp_path / "join.token"
    token.write_text(await provision.join_token(world.spec, "ams-1", None))
    identity = Identity(spec, tmp_path / "state", token)
    task = asyncio.create_task(identity.run())
    await until(lambda: identity.problem)
    task.cancel()
    assert "certificate is not trusted" in identity.problem
    assert token.exists()


@pytest.mark.parametrize(
    ("lifetime", "secret", "expected"),
    [(None, "wrong", "no join token"), (0.01, "", "expired"), (None, "used", "used already")],
)
async def test_a_node_says_what_is_wrong_with_its_token_and_goes_on(
    world: World, api: Api, tmp_path: Path, lifetime: float | None, secret: str, expected: str
) -> None:
    token = await provision.join_token(world.spec, "ams-1", lifetime)
    if secret == "used":
        await _join(api, token)
    await asyncio.sleep(0.02)
    file = tmp_path / "join.token"
    file.write_text("anycastle-join-wrong" if secret == "wrong" else token)
    identity = Identity(node_spec(world, "ams-1", api.url), tmp_path / "state", file)
    task = asyncio.create_task(identity.run())
    await until(lambda: identity.problem)
    assert expected in identity.problem
    # An operator helps: no restart is needed.
    file.write_text(await provision.join_token(world.spec, "ams-1", None))
    async with asyncio.timeout(30):
        await identity.wait_ready()
    await until(lambda: not identity.problem)
    task.cancel()


async def test_a_certificate_is_renewed_before_its_end(world: World, tmp_path: Path) -> None:
    # Made out 5 minutes into the past, so two thirds of its life end 1 s from now.
    short = world.with_spec(certificate_lifetime=152.0)
    async with run_api(short) as api, run_agent(short, "ams-1", api.url) as agent:
        await agent.identity.wait_ready()
        first = agent.identity.expires_at
        await until(lambda: agent.identity.expires_at != first)
        await until(lambda: agent.feed.connected)


async def test_an_ended_certificate_is_renewed_with_its_key(
    world: World, api: Api, tmp_path: Path
) -> None:
    state = world.directory / "ams-1"
    state.mkdir()
    (state / "identity.pem").write_bytes(issue(world.authority, "ams-1", lifetime=-60).pem)
    async with run_agent(world, "ams-1", api.url, join=False) as agent:
        await until(lambda: agent.feed.connected)


async def test_an_ended_certificate_is_worth_nothing_without_its_key(
    world: World, api: Api
) -> None:
    ended = issue(world.authority, "ams-1", lifetime=-60)
    body = {"csr": GOOD.request("ams-1", "testing"), "certificate": ended.certificate}
    assert (await api.call("POST", "/v1/agent/renew", body)).error == (401, "key_mismatch", "csr")


async def test_reports_and_events_arrive(world: World, api: Api) -> None:
    client = (await api.add("laptop")).json["client"]
    assert isinstance(client, dict)
    now = time.time()
    report = NodeReport(
        name="ams-1", datacentre="ams", state=NodeState.UP, announcing=True, revision=1,
        routing="bird", wireguard="userspace", version="1", at=now,
        sessions=(Session(client=client["id"], endpoint="203.0.113.1:4000", latest_handshake=now),),
    )  # fmt: skip
    event = Event(kind="node.announced", at=now, message="announced", node="somebody-else")
    async with run_agent(world, "ams-1", api.url) as agent:
        agent.client.report(report)
        agent.client.event(event)
        agent.client.event(event)  # as after a lost answer
        async with asyncio.timeout(30):
            while (await api.call("GET", "/v1/clients/laptop")).json["owner"] != "ams-1":  # noqa: ASYNC110 - asked over HTTP
                await asyncio.sleep(0.05)
            await until(lambda: agent.client.waiting == 0)
    status = (await api.call("GET", "/v1/status")).json
    assert status["clients"] == {"enrolled": 1, "connected": 1}
    nodes = status["nodes"]
    assert isinstance(nodes, list)
    node = nodes[0]
    assert (node["state"], node["announcing"], node["sessions"]) == ("UP", True, 1)
    events = codec.from_json((await api.call("GET", "/v1/events")).data, list[Event])
    assert [(e.kind, e.node) for e in events if e.kind == "node.announced"] == [
        ("node.announced", "ams-1")
    ]


async def test_the_newest_handshake_owns_the_client(world: World, api: Api, tmp_path: Path) -> None:
    client = (await api.add("laptop")).json["client"]
    assert isinstance(client, dict)
    now = time.time()

    async def report(node: str, handshake: float | None) -> None:
        sessions = () if handshake is None else (
            Session(client=client["id"], endpoint="[2001:db8::1]:4000", latest_handshake=handshake),
        )  # fmt: skip
        body = NodeReport(
            name=node, datacentre="ams", state=NodeState.UP, announcing=True, revision=1,
            routing="bird", wireguard="kernel", version="1", at=now, sessions=sessions,
        )  # fmt: skip
        who = issue(world.authority, node)
        answer = await _as_node(api, who, tmp_path / node, "POST", "/v1/agent/report", body)
        assert answer.status == 204

    async def owner() -> object:
        return (await api.call("GET", "/v1/clients/laptop")).json["owner"]

    await report("ams-1", now - 60)
    assert await owner() == "ams-1"
    await report("ams-2", now - 10)
    assert await owner() == "ams-2"
    await report("ams-1", now - 60)  # has not noticed yet
    assert await owner() == "ams-2"
    await report("ams-1", None)
    assert await owner() == "ams-2"
    await report("ams-2", now - 1000)  # long without a handshake: nobody's
    assert await owner() is None
    await report("ams-2", None)
    shown = (await api.call("GET", "/v1/clients/laptop")).json
    assert (shown["owner"], shown["endpoint"], shown["latest_handshake"]) == (None, None, None)


@pytest.mark.parametrize(
    ("change", "status", "field"),
    [
        ({"name": "ams-2"}, 403, "name"),
        ({"sessions": [{"client": "x", "endpoint": "", "latest_handshake": 1}]}, 422,
         "sessions[0].client"),
        ({"sessions": [{"client": "x", "endpoint": "", "latest_handshake": 1e300}]}, 422,
         "sessions[0].latest_handshake"),
        ({"state": "SIDEWAYS"}, 422, "state"),
        ({"at": "now"}, 422, "at"),
    ],
)  # fmt: skip
async def test_a_bad_report_is_refused_with_the_fields_path(
    world: World, api: Api, tmp_path: Path, change: dict[str, object], status: int, field: str
) -> None:
    good = {
        "name": "ams-1", "datacentre": "ams", "state": "UP", "announcing": True, "revision": 1,
        "routing": "bird", "wireguard": "kernel", "version": "1", "at": 1.0,
    }  # fmt: skip
    who = issue(world.authority, "ams-1")
    answer = await _as_node(
        api, who, tmp_path / "n", "POST", "/v1/agent/report", {**good, **change}
    )
    assert answer.error[::2] == (status, field)


async def test_a_silent_node_is_unknown(world: World, api: Api, tmp_path: Path) -> None:
    report = NodeReport(
        name="ams-1", datacentre="ams", state=NodeState.UP, announcing=True, revision=1,
        routing="bird", wireguard="kernel", version="1", at=0.0,
    )  # fmt: skip
    who = issue(world.authority, "ams-1")
    await _as_node(api, who, tmp_path / "n", "POST", "/v1/agent/report", report)
    assert (await api.call("GET", "/v1/nodes/ams-1")).json["state"] == "UP"
    async with await psycopg.AsyncConnection.connect(world.spec.database) as connection:
        await connection.execute("UPDATE node SET reported_at = now() - interval '31 s'")
    silent = (await api.call("GET", "/v1/nodes/ams-1")).json
    assert (silent["state"], silent["announcing"], silent["sessions"]) == ("UNKNOWN", False, 0)
    assert silent["reason"] == "no report for 31 s, then UP"
