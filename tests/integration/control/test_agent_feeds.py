"""Two agents' feeds from a real API on a real Postgres, over real TLS."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import statistics
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

import psycopg
import pytest
from aiohttp import AddrInfoType, ClientSession, TCPConnector

from anycastle.agent import feed as agent_feed
from anycastle.control import auth, migrate, provision
from anycastle.control.api import agent_feed as feed_route
from anycastle.model.feed import Change, Snapshot
from tests.support.agents import run_agent, until
from tests.support.control_plane import Api, World, client_tls, run_api


async def test_a_snapshot_comes_first_and_then_changes_in_order(world: World, api: Api) -> None:
    await api.add("before")
    async with run_agent(world, "ams-1", api.url) as one, run_agent(world, "ams-2", api.url) as two:
        await one.reach(1)
        await two.reach(1)
        for number in range(20):
            assert (await api.add(f"client-{number}")).status == 201
        assert (await api.call("DELETE", "/v1/clients/client-7")).status == 200
        for agent in (one, two):
            await agent.reach(22)
            assert isinstance(agent.frames[0], Snapshot)
            assert [frame.revision for frame in agent.frames] == list(range(1, 23))
            assert agent.names() == {"before", *(f"client-{n}" for n in range(20))} - {"client-7"}
    assert one.cache.clients == two.cache.clients


async def test_a_removal_names_the_client_by_its_id(world: World, api: Api) -> None:
    added = (await api.add("laptop")).json["client"]
    async with run_agent(world, "ams-1", api.url) as agent:
        await agent.reach(1)
        await api.call("DELETE", "/v1/clients/laptop")
        await agent.reach(2)
    change = agent.frames[-1]
    assert isinstance(change, Change)
    assert isinstance(added, dict)
    assert (change.put, change.remove) == ((), (added["id"],))
    assert change.reason == "client laptop removed"


async def test_an_agent_resumes_with_what_it_missed(world: World, api: Api) -> None:
    await api.add("first")
    async with run_agent(world, "ams-1", api.url) as agent:
        await agent.reach(1)
    for number in range(5):
        await api.add(f"missed-{number}")
    async with run_agent(world, "ams-1", api.url) as agent:
        await agent.reach(6)
        assert all(isinstance(frame, Change) for frame in agent.frames)
        assert agent.names() == {"first", *(f"missed-{n}" for n in range(5))}


async def test_an_agent_that_was_away_for_too_long_gets_a_snapshot(world: World) -> None:
    async with run_api(world) as api, run_agent(world, "ams-1", api.url) as agent:
        await api.add("first")
        await agent.reach(1)
    async with run_api(world) as api:
        await api.add("second")
        await api.add("third")
    # The ring has gone on: what follows revision 1 is not there any more.
    async with await psycopg.AsyncConnection.connect(world.spec.database) as connection:
        await connection.execute("DELETE FROM change WHERE revision <= 2")
    async with run_api(world) as api, run_agent(world, "ams-1", api.url) as agent:
        await agent.reach(3)
        assert [type(frame) for frame in agent.frames] == [Snapshot]
        assert agent.names() == {"first", "second", "third"}


async def test_a_new_epoch_makes_every_agent_start_anew(world: World, api: Api) -> None:
    await api.add("first")
    async with run_agent(world, "ams-1", api.url) as agent:
        await agent.reach(1)
        before = agent.cache.position
        async with await psycopg.AsyncConnection.connect(world.spec.database) as connection:
            # A backup of before the client was restored.
            await connection.execute("DELETE FROM client")
            await connection.execute("DELETE FROM change")
            await connection.execute("UPDATE deployment SET revision = 0")
        await migrate.renew_epoch(world.spec.database)
        await until(lambda: len(agent.frames) == 2)
        assert agent.names() == set()
        assert agent.cache.position is not None
        assert before is not None
        assert agent.cache.position.epoch != before.epoch


async def test_agents_survive_a_restart_of_postgres_and_miss_nothing(world: World) -> None:
    async with (
        run_api(world) as api,
        run_agent(world, "ams-1", api.url) as one,
        run_agent(world, "ams-2", api.url) as two,
    ):
        await api.add("before")
        await one.reach(1)
        await asyncio.to_thread(world.postgres.stop, "immediate")
        try:
            assert (await api.add("during")).error[:2] == (503, "database_unavailable")
            assert (await api.call("GET", "/healthz")).status == 503
        finally:
            await asyncio.to_thread(world.postgres.start)
        await _until_added(api, "after")
        for agent in (one, two):
            await agent.reach(2)
            assert agent.names() == {"before", "after"}
            # The streams lived on: the API kept them while it reconnected.
            assert [state.connected for state in agent.states] == [True]


async def test_a_stream_ends_with_its_nodes_removal_and_a_new_token_brings_it_back(
    world: World, api: Api
) -> None:
    async with run_agent(world, "ams-1", api.url) as agent:
        await until(lambda: agent.feed.connected)
        assert (await api.call("DELETE", "/v1/nodes/ams-1")).status == 204
        await until(lambda: "was removed from the deployment" in agent.states[-1].detail)
        assert not agent.feed.connected
        token = await provision.join_token(world.spec, "ams-1", None)
        (world.directory / "ams-1" / "join.token").write_text(token)
        await until(lambda: agent.feed.connected)
        assert not (world.directory / "ams-1" / "join.token").exists()


async def test_a_slow_reader_is_cut_and_the_others_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_route, "WRITE_TIMEOUT", 0.5)
    await _insert_clients(world, 40_000)
    async with run_api(world) as api, run_agent(world, "ams-1", api.url) as good:
        await until(lambda: good.feed.connected)
        connector = TCPConnector(ssl=good.identity.ssl_context(), socket_factory=_small_buffer)
        async with (
            ClientSession(connector=connector, read_bufsize=1024) as session,
            session.get(f"{api.url}/v1/agent/feed") as response,
        ):
            assert response.status == 200
            async with asyncio.timeout(30):  # it reads nothing
                while await _cuts(api) == 0:  # noqa: ASYNC110 - another process's number
                    await asyncio.sleep(0.05)
            assert response.connection is not None
            response.connection.close()
        await api.add("later")
        await good.reach(1)
        assert len(good.states) == 1


async def _cuts(api: Api) -> int:
    text = (await api.call("GET", "/metrics")).data.decode()
    found = re.search(r"^anycastle_control_feed_cuts_total (\S+)$", text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def _small_buffer(address: AddrInfoType) -> socket.socket:
    """A receiver that takes little before it has to read."""
    family, kind, protocol, _, _ = address
    receiver = socket.socket(family, kind, protocol)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    return receiver


async def test_a_silent_stream_is_taken_for_dead(
    world: World, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent_feed, "DEAD", 0.3)  # heartbeats come every 5 s
    async with run_agent(world, "ams-1", api.url) as agent:
        await until(lambda: len(agent.states) >= 2)
        assert agent.states[0].connected
        assert agent.states[1].detail == "no answer in time"
        await until(lambda: any(state.connected for state in agent.states[2:]))


@dataclass
class Process:
    """The API as systemd runs it: a process of its own, on a port of its own."""

    world: World
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "anycastle.control.main", "--config"]
        self.process = subprocess.Popen(
            [*command, str(self.world.config()), "serve"], stdout=subprocess.DEVNULL
        )

    def end(self, how: int) -> int:
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(10)


@asynccontextmanager
async def api_process(world: World) -> AsyncIterator[tuple[Process, Api]]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    world = world.with_spec(port=port)
    process = Process(world, port)
    token = await provision.operator_token(world.spec, "process", auth.Role.ADMIN, None, None)
    process.start()
    try:
        async with ClientSession(connector=TCPConnector(ssl=client_tls(world))) as session:
            yield process, Api(world, process.url, session, token)
    finally:
        if process.process is not None and process.process.poll() is None:
            process.end(signal.SIGKILL)


async def test_agents_survive_the_apis_sudden_death(world: World) -> None:
    async with (
        api_process(world) as (process, api),
        run_agent(world, "ams-1", process.url) as one,
        run_agent(world, "ams-2", process.url) as two,
    ):
        await _until_added(api, "before")
        await one.reach(1)
        await two.reach(1)
        # A snapshot of 1, or one of 0 and a change: whether they came before the client.
        seen = [len(agent.frames) for agent in (one, two)]
        process.end(signal.SIGKILL)
        await until(lambda: not one.feed.connected and not two.feed.connected)
        process.start()
        await _until_added(api, "after")
        for agent, before in zip((one, two), seen, strict=True):
            await agent.reach(2)
            assert [type(frame) for frame in agent.frames[before:]] == [Change]
            assert agent.names() == {"before", "after"}


async def test_sigterm_ends_the_api_cleanly_while_streams_are_open(world: World) -> None:
    async with (
        api_process(world) as (process, api),
        run_agent(world, "ams-1", process.url) as agent,
    ):
        await _until_added(api, "before")
        await agent.reach(1)
        assert process.end(signal.SIGTERM) == 0
        await until(lambda: not agent.feed.connected)


async def test_agents_try_each_url_in_turn(world: World, api: Api) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        closed = probe.getsockname()[1]
    async with run_agent(world, "ams-1", f"https://127.0.0.1:{closed}", api.url) as agent:
        await until(lambda: agent.feed.connected)
        assert agent.states[-1].url == api.url


async def test_two_api_processes_serve_one_feed(world: World) -> None:
    async with (
        run_api(world) as first,
        run_api(world) as second,
        run_agent(world, "ams-1", first.url) as one,
        run_agent(world, "ams-2", second.url) as two,
    ):
        await until(lambda: one.feed.connected and two.feed.connected)
        await first.add("by-the-first")
        await second.add("by-the-second")
        for agent in (one, two):
            await agent.reach(2)
            assert agent.names() == {"by-the-first", "by-the-second"}


async def test_a_client_reaches_the_agents_within_the_budget(world: World, api: Api) -> None:
    async with run_agent(world, "ams-1", api.url) as one, run_agent(world, "ams-2", api.url) as two:
        await until(lambda: one.feed.connected and two.feed.connected)
        loop = asyncio.get_running_loop()
        delays = []
        for number in range(100):
            started = loop.time()
            await api.add(f"client-{number}")
            await until(lambda n=number: min(one.feed.revision, two.feed.revision) == n + 1)  # type: ignore[misc]
            delays.append(loop.time() - started)
        # The budget is for the 99th percentile, which benchmarks/ measures on a quiet
        # machine; a test shares it with others.
        assert statistics.median(delays) < 0.3


async def _until_added(api: Api, name: str) -> None:
    """Add a client as soon as the API and its database are there."""
    async with asyncio.timeout(20):
        while True:
            try:
                if (await api.add(name)).status == 201:
                    return
            except OSError:
                pass
            await asyncio.sleep(0.1)


async def _insert_clients(world: World, number: int) -> None:
    """Past the API, for size."""
    async with await psycopg.AsyncConnection.connect(world.spec.database) as connection:
        first = ip_address("10.201.0.0")
        await connection.execute(
            "INSERT INTO client (name) SELECT 'bulk-' || n FROM generate_series(1, %s) n", (number,)
        )
        await connection.execute(
            "INSERT INTO credential (client, public_key) SELECT id, sha256(name::bytea) FROM client"
        )
        await connection.execute(
            "INSERT INTO client_address SELECT %s + row_number() OVER (), id FROM client", (first,)
        )
