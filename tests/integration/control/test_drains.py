"""Orders to drain: the API's rules on a real database, and how they reach agents."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from anycastle.control import auth, provision
from anycastle.model import codec
from anycastle.model.feed import Change, NodeOrder, Snapshot
from anycastle.model.status import DrainPhase, DrainStatus, NodeState, Session
from tests.support import reporting
from tests.support.agents import run_agent, until
from tests.support.control_plane import Api, World, run_api


async def report(world: World, name: str, state: NodeState = NodeState.UP, **values: Any) -> None:
    await reporting.report(world.spec, name, state, **values)


async def silent(world: World, name: str, seconds: float) -> None:
    await reporting.silent(world.spec, name, seconds)


async def drain(api: Api, name: str, **body: object) -> Any:
    return await api.call("POST", f"/v1/nodes/{name}/drain", body)


async def resume(api: Api, name: str) -> Any:
    return await api.call("POST", f"/v1/nodes/{name}/resume")


async def shown(api: Api, name: str) -> Any:
    """The order as the API shows it."""
    return codec.from_json((await api.call("GET", f"/v1/nodes/{name}")).data, dict)["drain"]


async def events(api: Api, kind: str) -> list[dict[str, Any]]:
    found = codec.from_json((await api.call("GET", "/v1/events?limit=500")).data, list)
    return [event for event in found if event["kind"] == kind]


async def test_an_order_is_shown_told_and_called_off(world: World, api: Api) -> None:
    await report(world, "ams-1")
    await report(world, "ams-2")
    answer = await drain(api, "ams-1", deadline_seconds=300, reason="new disk")
    assert answer.status == 200
    order = answer.json["drain"]
    assert order["reason"] == "new disk"
    assert order["phase"] is None
    assert 299 < order["seconds_left"] <= 300
    nodes_listed = codec.from_json((await api.call("GET", "/v1/nodes")).data, list)
    listed = {node["name"]: node["drain"] for node in nodes_listed}
    assert listed["ams-2"] is None
    assert listed["ams-1"]["since"] == order["since"]
    (event,) = await events(api, "node.drain_asked")
    assert event["node"] == "ams-1"
    assert event["data"] == {"deadline_seconds": 300.0, "force": False, "reason": "new disk"}
    assert event["message"].endswith("asked node ams-1 to drain within 300 s: new disk")
    assert event["message"].startswith("operator:")
    assert (await resume(api, "ams-1")).json["drain"] is None
    (event,) = await events(api, "node.resume_asked")
    assert event["node"] == "ams-1"


async def test_a_resume_of_a_node_in_service_changes_nothing(world: World, api: Api) -> None:
    await report(world, "ams-1")
    before = (await api.call("GET", "/v1/status")).json["revision"]
    assert (await resume(api, "ams-1")).status == 200
    assert (await api.call("GET", "/v1/status")).json["revision"] == before
    assert await events(api, "node.resume_asked") == []


async def test_a_later_order_moves_the_deadline_and_keeps_the_beginning(
    world: World, api: Api
) -> None:
    await report(world, "ams-1")
    await report(world, "ams-2")
    first = (await drain(api, "ams-1", deadline_seconds=60)).json["drain"]
    await report(world, "ams-2", NodeState.DOWN)  # it would be refused now as a new one
    second = (await drain(api, "ams-1", deadline_seconds=600)).json["drain"]
    assert second["since"] == first["since"]
    assert second["deadline"] > first["deadline"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"deadline_seconds": 0}, "deadline_seconds"),
        ({"deadline_seconds": 1e9}, "deadline_seconds"),
        ({"deadline_seconds": "soon"}, "deadline_seconds"),
        ({"reason": "x" * 300}, "reason"),
        ({"reason": "a\nb"}, "reason"),
        ({"sessions": 3}, None),
    ],
)
async def test_a_bad_order_names_its_field(
    world: World, api: Api, body: dict[str, object], field: str | None
) -> None:
    await report(world, "ams-1")
    await report(world, "ams-2")
    answer = await drain(api, "ams-1", **body)
    assert answer.error == (422, "invalid_field", field)
    assert await shown(api, "ams-1") is None


async def test_who_may_drain(world: World, api: Api) -> None:
    await report(world, "ams-1")
    await report(world, "ams-2")
    viewer = await provision.operator_token(world.spec, "eve", auth.Role.VIEWER, None, None)
    for verb, body in (("drain", {}), ("resume", None)):
        path = f"/v1/nodes/ams-1/{verb}"
        answer = await api.call("POST", path, body, token=viewer)
        assert answer.error[:2] == (403, "role_insufficient")
    assert (await api.call("GET", "/v1/nodes/ams-1", token=viewer)).json["drain"] is None
    assert (await drain(api, "nobody")).error[:2] == (404, "not_found")
    assert (await resume(api, "nobody")).error[:2] == (404, "not_found")


async def test_the_last_node_is_refused_with_what_ails_the_others(world: World, api: Api) -> None:
    await report(world, "ams-1")
    answer = await drain(api, "ams-1")
    assert answer.error[:2] == (409, "last_node")
    assert "the only node" in answer.json["error"]["message"]
    await report(world, "ams-2", NodeState.DEMOTED)
    await report(world, "ams-3", NodeState.DOWN)
    await report(world, "ams-4", announcing=False)
    await report(world, "ams-5")
    await silent(world, "ams-5", 40)
    await report(world, "ams-6")
    assert (await drain(api, "ams-6", force=True)).status == 200
    answer = await drain(api, "ams-1")
    assert answer.error[:2] == (409, "last_node")
    message = answer.json["error"]["message"]
    for part in (
        "ams-2: DEMOTED (disk: is full)",
        "ams-3: DOWN (disk: is full)",
        "ams-4: not announcing",
        "ams-5: UNKNOWN (no report for 40 s",
        "ams-6: asked to drain",
    ):
        assert part in message
    assert len(await events(api, "node.drain_asked")) == 1
    assert (await drain(api, "ams-1", force=True)).json["drain"]["force"] is True
    assert (await resume(api, "ams-6")).status == 200


async def test_concurrent_drains_leave_a_node(world: World) -> None:
    names = [f"ams-{n}" for n in range(1, 6)]
    for name in names:
        await report(world, name)
    async with run_api(world) as first, run_api(world) as second:
        asked = [drain(api, name) for name, api in zip(names, [first, second] * 3, strict=False)]
        answers = await asyncio.gather(*asked)
    assert sorted(answer.status for answer in answers) == [200, 200, 200, 200, 409]


def order(frame: Snapshot | Change) -> NodeOrder:
    (found,) = frame.nodes
    return found


async def test_orders_reach_agents_as_changes_and_in_snapshots(world: World, api: Api) -> None:
    await report(world, "ams-2")
    async with run_agent(world, "ams-1", api.url) as agent:
        await until(lambda: agent.feed.connected)
        assert (await drain(api, "ams-1", reason="new disk")).status == 200
        await agent.reach(1)
        change = agent.frames[-1]
        assert isinstance(change, Change)
        assert (order(change).drain, order(change).reason) == (True, "new disk")
        assert order(change).deadline - order(change).since == pytest.approx(600)
        assert agent.cache.orders == {"ams-1": order(change)}
        told = order(change)
    # A restarted agent has it from its disk, and goes on from its revision.
    async with run_agent(world, "ams-1", api.url) as agent:
        assert agent.cache.orders == {"ams-1": told}
        await agent.reach(1)
    # A new agent gets a snapshot.
    async with run_agent(world, "ams-3", api.url) as agent:
        await agent.reach(1)
        assert isinstance(agent.frames[0], Snapshot)
        assert agent.cache.orders == {"ams-1": told}
        assert (await resume(api, "ams-1")).status == 200
        await agent.reach(2)
        assert agent.cache.orders == {}
        assert order(agent.frames[-1]) == NodeOrder(name="ams-1", drain=False)


async def test_orders_survive_the_api_and_the_database(world: World) -> None:
    async with run_api(world) as api:
        await report(world, "ams-1")
        await report(world, "ams-2")
        before = (await drain(api, "ams-1")).json["drain"]
    await asyncio.to_thread(world.postgres.stop, "immediate")
    await asyncio.to_thread(world.postgres.start)
    async with run_api(world) as api:
        after = await shown(api, "ams-1")
        assert (after["since"], after["deadline"]) == (before["since"], before["deadline"])
        async with run_agent(world, "ams-3", api.url) as agent:
            await agent.reach(1)
            assert set(agent.cache.orders) == {"ams-1"}


async def test_a_node_that_was_forgotten_and_joins_again_is_to_serve(
    world: World, api: Api
) -> None:
    await report(world, "ams-2")
    async with run_agent(world, "ams-1", api.url) as agent:
        await until(lambda: agent.feed.connected)
        assert (await drain(api, "ams-1")).status == 200
        await until(lambda: agent.cache.orders)
        assert (await api.call("DELETE", "/v1/nodes/ams-1")).status == 204
        await until(lambda: not agent.feed.connected)
        assert agent.cache.orders, "a node on its way out does not come back into service"
        token = await provision.join_token(world.spec, "ams-1", None)
        (world.directory / "ams-1" / "join.token").write_text(token)
        await until(lambda: agent.feed.connected)
        assert not agent.cache.orders
    assert await shown(api, "ams-1") is None


async def test_the_nodes_word_on_its_drain_is_shown(world: World, api: Api) -> None:
    client = (await api.add("laptop")).json["client"]["id"]  # type: ignore[index]
    await report(world, "ams-2")
    await report(world, "ams-1")
    async with run_agent(world, "ams-9", api.url) as agent:
        await until(lambda: agent.feed.connected)
        assert (await drain(api, "ams-1")).status == 200
        await until(lambda: "ams-1" in agent.cache.orders)
        asked = agent.cache.orders["ams-1"]
    session = Session(client=client, endpoint="203.0.113.7:4000", latest_handshake=time.time())
    for phase, sessions in ((DrainPhase.MOVING, (session,)), (DrainPhase.DRAINED, ())):
        status = DrainStatus(phase=phase, since=asked.since, deadline=asked.deadline, ready=True)
        await report(world, "ams-1", NodeState.DRAINING, sessions=sessions, drain=status)
        drained = await shown(api, "ams-1")
        assert (drained["phase"], drained["sessions"]) == (phase.value, len(sessions))
        assert drained["ready"] is True
    # The answer to an order of before is none to this one.
    await drain(api, "ams-1", deadline_seconds=60)
    drained = await shown(api, "ams-1")
    assert (drained["phase"], drained["ready"]) == (None, False)
    await silent(world, "ams-1", 60)
    drained = await shown(api, "ams-1")
    assert (drained["phase"], drained["sessions"]) == (None, None)


async def test_a_node_that_leaves_for_good_drains_while_it_can(world: World, api: Api) -> None:
    assert await provision.drain_node(world.spec, "nobody", 5) == "it is unknown"
    await report(world, "ams-1")
    await silent(world, "ams-1", 60)
    began = time.monotonic()
    assert await provision.drain_node(world.spec, "ams-1", 60) == "it is silent"
    assert time.monotonic() - began < 30
    # The last one of the deployment: nobody refuses.
    await report(world, "ams-1")
    assert await provision.drain_node(world.spec, "ams-1", 1) == "0 sessions are left"
    leaving = asyncio.create_task(provision.drain_node(world.spec, "ams-1", 60))
    async with run_agent(world, "ams-9", api.url) as agent:
        await until(lambda: "ams-1" in agent.cache.orders)
        asked = agent.cache.orders["ams-1"]
        assert (asked.force, asked.reason) == (True, "leaves the deployment")
        await until(lambda: agent.cache.orders["ams-1"].deadline > asked.since + 50)
        asked = agent.cache.orders["ams-1"]
    status = DrainStatus(
        phase=DrainPhase.DRAINED, since=asked.since, deadline=asked.deadline, ready=True
    )
    await report(world, "ams-1", NodeState.DRAINING, drain=status)
    assert await leaving == "no session is left"
    assert await provision.forget_node(world.spec, "ams-1")
