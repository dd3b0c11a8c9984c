"""Whatever happens in whatever order, a folded feed equals the database.

Hypothesis picks operations and failures; two agents follow over real TLS.
"""

from __future__ import annotations

import asyncio
import itertools
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    rule,
    run_state_machine_as_test,
)

from anycastle.control import compile as compiler
from anycastle.control.database import Database
from anycastle.control.store import changes, clients
from anycastle.model.client import Client
from tests.support.agents import Agent, run_agent
from tests.support.control_plane import Api, World, make_world, run_api
from tests.support.postgres import Postgres


class Sequence(RuleBasedStateMachine):
    """Rules run on one event loop; agents and API live in its tasks between them."""

    postgres: Postgres
    names = Bundle("names")

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.directory = tempfile.TemporaryDirectory()
        self.numbers = itertools.count()
        self.runner.run(self._begin())

    async def _begin(self) -> None:
        self.world = await make_world(self.postgres, Path(self.directory.name))
        # A pool that is full at times.
        self.world = self.world.with_pools("10.9.0.0/27", "fd00:9::/64")
        self.enrolled: set[str] = set()
        self.api_stack, self.api = await _enter_api(self.world)
        self.agents: dict[str, tuple[AsyncExitStack, Agent]] = {}
        for name in ("ams-1", "ams-2"):
            self.agents[name] = await _enter_agent(self.world, name, self.api.url)

    @rule(target=names)
    def add(self) -> str:
        name = f"client-{next(self.numbers)}"
        status = self.runner.run(self.api.add(name)).status
        assert status == (201 if len(self.enrolled) < 16 else 409)
        if status == 201:
            self.enrolled.add(name)
        return name

    @rule(name=names)
    def add_again(self, name: str) -> None:
        answer = self.runner.run(self.api.add(name))
        if name in self.enrolled:
            assert answer.status == 409
        elif answer.status == 201:
            self.enrolled.add(name)

    @rule(name=consumes(names))
    def remove(self, name: str) -> None:
        status = self.runner.run(self.api.call("DELETE", f"/v1/clients/{name}")).status
        assert status == (200 if name in self.enrolled else 404)
        self.enrolled.discard(name)

    @rule()
    def malformed(self) -> None:
        assert self.runner.run(self.api.call("POST", "/v1/clients", b"{}")).status == 422

    @rule(node=st.sampled_from(["ams-1", "ams-2"]))
    def restart_agent(self, node: str) -> None:
        self.runner.run(self._restart_agent(node))

    async def _restart_agent(self, node: str) -> None:
        await self.agents[node][0].aclose()
        self.agents[node] = await _enter_agent(self.world, node, self.api.url)

    @rule()
    def restart_api(self) -> None:
        self.runner.run(self._restart_api())

    async def _restart_api(self) -> None:
        port = int(self.api.url.rpartition(":")[2])
        await self.api_stack.aclose()
        self.api_stack, self.api = await _enter_api(self.world.with_spec(port=port))

    def teardown(self) -> None:
        if not hasattr(self, "runner"):
            return
        try:
            self.runner.run(self._compare())
        finally:
            self.runner.close()
            self.directory.cleanup()

    async def _compare(self) -> None:
        try:
            revision, expected = await _stored(self.world.spec.database)
            assert {client.name for client in expected.values()} == self.enrolled
            for _, agent in self.agents.values():
                await agent.reach(revision)
                assert dict(agent.cache.clients) == expected
                revisions = [frame.revision for frame in agent.frames]
                assert revisions == sorted(set(revisions))
        finally:
            for stack, _ in self.agents.values():
                await stack.aclose()
            await self.api_stack.aclose()


async def _enter_api(world: World) -> tuple[AsyncExitStack, Api]:
    stack = AsyncExitStack()
    return stack, await stack.enter_async_context(run_api(world))


async def _enter_agent(world: World, name: str, url: str) -> tuple[AsyncExitStack, Agent]:
    stack = AsyncExitStack()
    return stack, await stack.enter_async_context(run_agent(world, name, url))


async def _stored(conninfo: str) -> tuple[int, dict[str, Client]]:
    database = Database(conninfo)
    await database.open()
    async with database.reading() as connection:
        head = await changes.read_head(connection)
        rows = [row async for row in clients.read_all_compiled(connection)]
    await database.close()
    return head.revision, {client.id: client for client in compiler.clients(rows)}


# The loop stands still between rules, so the end of a run may cut off a TLS goodbye.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.timeout(600)
def test_a_thousand_random_operations(postgres: Postgres) -> None:
    Sequence.postgres = postgres
    run_state_machine_as_test(
        Sequence,
        settings=settings(
            max_examples=10,
            stateful_step_count=100,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
