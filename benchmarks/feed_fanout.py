"""From a client's enrolment to the feeds of many agents, without a lab.

A real Postgres, the API over TLS, and agents' feeds over mTLS, all on this machine. What
is measured: the call of the operator until the last agent has the change. The peer is what
the database alone needs for the same fan-out: an INSERT with NOTIFY in one transaction,
until every one of as many listening connections has heard of it.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import psycopg

from benchmarks.result import Result, quantile
from tests.support.agents import Agent, run_agent, until
from tests.support.control_plane import Api, make_world, run_api
from tests.support.postgres import Postgres, cluster

AGENTS = (4, 50)
ROUNDS = 100
TARGET = 300.0
"""Milliseconds that a new client may take to all nodes, kernels included, at p99."""


def run() -> Iterator[Result]:
    with cluster() as postgres:
        for number in AGENTS:
            feeds = asyncio.run(_feeds(postgres, number))
            bare = asyncio.run(_bare(postgres, number))
            for share, name in ((0.5, "p50"), (0.99, "p99")):
                yield Result(
                    benchmark=f"feed_fanout.{number}.{name}",
                    value=quantile(feeds, share) * 1000,
                    unit="ms",
                    peer=f"INSERT and NOTIFY to {number} listening connections",
                    peer_value=quantile(bare, share) * 1000,
                    notes=f"POST /v1/clients to the last of {number} agents, {ROUNDS} times;"
                    " API and agents in one process, Postgres without fsync",
                    target=TARGET if share > 0.5 else None,
                )


async def _feeds(postgres: Postgres, number: int) -> list[float]:
    with tempfile.TemporaryDirectory() as directory:
        world = await make_world(postgres, Path(directory))
        async with run_api(world) as api, _agents(api, number) as agents:
            return [await _enrol(api, agents, turn) for turn in range(ROUNDS)]


@asynccontextmanager
async def _agents(api: Api, number: int) -> AsyncIterator[list[Agent]]:
    async with AsyncExitStack() as stack:
        agents = [
            await stack.enter_async_context(run_agent(api.world, f"node-{n}", api.url))
            for n in range(number)
        ]
        await until(lambda: all(agent.feed.connected for agent in agents))
        yield agents


async def _enrol(api: Api, agents: list[Agent], turn: int) -> float:
    began = time.monotonic()
    await api.add(f"client-{turn}")
    while min(agent.feed.revision for agent in agents) <= turn:  # noqa: ASYNC110 - of many
        await asyncio.sleep(0.0005)
    return time.monotonic() - began


async def _bare(postgres: Postgres, number: int) -> list[float]:
    conninfo = postgres.database()
    async with AsyncExitStack() as stack:

        async def connect() -> psycopg.AsyncConnection[tuple[object, ...]]:
            connection = await psycopg.AsyncConnection.connect(conninfo, autocommit=True)
            return await stack.enter_async_context(connection)

        writer = await connect()
        await writer.execute("CREATE TABLE item (n integer)")
        listeners = [await connect() for _ in range(number)]
        for listener in listeners:
            await listener.execute("LISTEN items")
        return [await _notify(writer, listeners, turn) for turn in range(ROUNDS)]


async def _notify(
    writer: psycopg.AsyncConnection[tuple[object, ...]],
    listeners: list[psycopg.AsyncConnection[tuple[object, ...]]],
    turn: int,
) -> float:
    async def hear(listener: psycopg.AsyncConnection[tuple[object, ...]]) -> None:
        async for _ in listener.notifies(stop_after=1, timeout=10):
            pass

    heard = [asyncio.create_task(hear(listener)) for listener in listeners]
    await asyncio.sleep(0)
    began = time.monotonic()
    async with writer.transaction():
        await writer.execute("INSERT INTO item VALUES (%s)", (turn,))
        await writer.execute("NOTIFY items")
    await asyncio.gather(*heard)
    return time.monotonic() - began
