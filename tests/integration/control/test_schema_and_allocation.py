"""Migrations, and what Postgres does with many clients."""

from __future__ import annotations

import time
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

import psycopg
import pytest

from anycastle.control import allocate, migrate
from anycastle.control.database import Connection, connect
from anycastle.control.errors import Conflict
from anycastle.control.store import pools
from anycastle.model.addresses import Address
from tests.support.control_plane import World
from tests.support.postgres import Postgres

SCHEMA = Path(migrate.__file__).with_name("schema.sql")


async def test_migrations_lead_to_exactly_the_schema(postgres: Postgres) -> None:
    migrated, direct = postgres.database(), postgres.database()
    await migrate.migrate(migrated, "testing")
    with psycopg.connect(direct, autocommit=True) as connection:
        connection.execute(SCHEMA.read_bytes())
    assert postgres.dump(migrated) == postgres.dump(direct)


async def test_a_second_run_does_nothing(world: World) -> None:
    assert await migrate.migrate(world.spec.database, "testing") == []


async def test_a_database_of_another_deployment_is_refused(world: World) -> None:
    with pytest.raises(migrate.SchemaError, match="belongs to deployment 'testing'"):
        await migrate.migrate(world.spec.database, "another")


async def test_a_database_of_a_newer_version_is_refused(world: World) -> None:
    async with await connect(world.spec.database) as connection:
        await connection.execute("INSERT INTO migration (number, name) VALUES (9999, 'later')")
    with pytest.raises(migrate.SchemaError, match="made by a newer one"):
        await migrate.migrate(world.spec.database, "testing")


async def test_an_empty_database_is_told_from_a_migrated_one(postgres: Postgres) -> None:
    async with await connect(postgres.database()) as connection:
        with pytest.raises(migrate.SchemaError, match="anycastle-control migrate"):
            await migrate.check(connection, "testing")


async def _client_with(connection: Connection, name: str, address: Address) -> None:
    await connection.execute("INSERT INTO client (name) VALUES (%s)", (name,))
    await connection.execute(
        "INSERT INTO client_address SELECT %s, id FROM client WHERE name = %s", (address, name)
    )


async def test_the_lowest_free_address_is_chosen_whatever_came_before(world: World) -> None:
    pool = allocate.pool_range(IPv4Network("10.9.0.0/24"))
    async with await connect(world.spec.database) as connection:

        async def add(name: str) -> str:
            address = await pools.allocate(connection, pool)
            await _client_with(connection, name, address)
            return str(address)

        async def remove(name: str) -> None:
            cursor = await connection.execute(
                "SELECT address FROM client_address JOIN client ON id = client WHERE name = %s",
                (name,),
            )
            rows = await cursor.fetchall()
            await connection.execute("DELETE FROM client WHERE name = %s", (name,))
            await pools.release(connection, [row["address"] for row in rows])

        # Asked for by hand, in a row and alone, above what was given out so far.
        for last in (17, 18, 20):
            await _client_with(connection, f"hand-{last}", pool.network.network_address + last)
        assert [await add(name) for name in "abc"] == ["10.9.0.16", "10.9.0.19", "10.9.0.21"]
        await remove("b")
        await remove("hand-17")
        assert [await add(name) for name in "def"] == ["10.9.0.17", "10.9.0.19", "10.9.0.22"]
        await remove("f")
        await remove("hand-20")
        assert [await add(name) for name in "gh"] == ["10.9.0.20", "10.9.0.22"]


async def test_a_pool_may_grow(world: World) -> None:
    small = allocate.pool_range(IPv6Network("fd00:9::/123"))
    large = allocate.pool_range(IPv6Network("fd00:9::/64"))
    async with await connect(world.spec.database) as connection:
        for number in range(16):
            address = await pools.allocate(connection, small)
            await _client_with(connection, f"client-{number}", address)
        with pytest.raises(Conflict) as caught:
            await pools.allocate(connection, small)
        assert caught.value.code == "pool_exhausted"
        assert str(await pools.allocate(connection, large)) == "fd00:9::20"


async def test_allocation_is_quick_among_100_000_clients(world: World) -> None:
    pool = allocate.pool_range(IPv4Network("10.0.0.0/8"))
    async with await connect(world.spec.database) as connection:
        await connection.execute(
            "INSERT INTO client (name) SELECT 'bulk-' || n FROM generate_series(1, 100000) n"
        )
        await connection.execute(
            "INSERT INTO client_address"
            " SELECT '10.0.0.15'::inet + row_number() OVER (), id FROM client"
        )
        await connection.execute("INSERT INTO pool VALUES ('10.0.0.0/8', '10.1.134.176')")
        await connection.execute("ANALYZE")
        for freed in ("10.0.0.16", "10.0.200.7"):
            await connection.execute("DELETE FROM client_address WHERE address = %s", (freed,))
            await connection.execute("INSERT INTO released_address VALUES (%s)", (freed,))
        started = time.monotonic()
        found = []
        for number in range(4):
            address = await pools.allocate(connection, pool)
            await _client_with(connection, f"new-{number}", address)
            found.append(str(address))
        took = time.monotonic() - started
    assert found == ["10.0.0.16", "10.0.200.7", "10.1.134.176", "10.1.134.177"]
    assert took < 1.0  # a few milliseconds on a quiet machine; a scan takes seconds
