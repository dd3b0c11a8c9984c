"""Applies migrations/NNNN_name.sql in order, each in a transaction of its own.

Why not a library: alembic brings SQLAlchemy for plain SQL files; yoyo keeps its lock
as a row, which a killed run leaves behind. A session's advisory lock dies with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import NamedTuple

from anycastle.control.database import CHANNEL, Connection, connect

LOCK = 0x616E7963
"""Key of the advisory lock that keeps two runs apart (the first letters of the project)."""


class SchemaError(Exception):
    """The database is not what this version of the program works with."""


class Migration(NamedTuple):
    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All that this version ships, in order."""
    directory = resources.files("anycastle.control") / "migrations"
    found = []
    for file in directory.iterdir():
        number, _, name = file.name.removesuffix(".sql").partition("_")
        if file.name.endswith(".sql"):
            found.append(Migration(int(number), name, file.read_text()))
    return sorted(found)


async def migrate(conninfo: str, deployment: str) -> list[Migration]:
    """Bring the database up to date; returns what was applied.

    Raises SchemaError when the database is newer than this program or belongs to
    another deployment, psycopg.Error when it can't be reached.
    """
    async with await connect(conninfo) as connection:
        await connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        pending = missing(await applied(connection), migrations())
        for migration in pending:
            await _apply(connection, migration)
        await _claim(connection, deployment)
        return pending


async def check(connection: Connection, deployment: str) -> None:
    """Raises SchemaError unless the database is exactly what this program expects."""
    pending = missing(await applied(connection), migrations())
    if pending:
        names = ", ".join(f"{m.number:04}_{m.name}" for m in pending)
        raise SchemaError(f"migrations not applied: {names}; run `anycastle-control migrate`")
    cursor = await connection.execute("SELECT name FROM deployment")
    row = await cursor.fetchone()
    if row is None:
        raise SchemaError("the database has no deployment; run `anycastle-control migrate`")
    _belongs(row["name"], deployment)


def missing(done: Sequence[int], known: Sequence[Migration]) -> list[Migration]:
    """The migrations still to apply. Raises SchemaError for one that we don't know."""
    unknown = set(done) - {migration.number for migration in known}
    if unknown:
        raise SchemaError(
            f"the database has migration {max(unknown)}, which this version does not know:"
            " it was made by a newer one"
        )
    return [migration for migration in known if migration.number not in done]


async def applied(connection: Connection) -> list[int]:
    """Numbers of the applied migrations; none for an empty database."""
    cursor = await connection.execute("SELECT to_regclass('migration') IS NULL AS is_empty")
    row = await cursor.fetchone()
    if row is None or row["is_empty"]:
        return []
    cursor = await connection.execute("SELECT number FROM migration ORDER BY number")
    return [row["number"] for row in await cursor.fetchall()]


async def _apply(connection: Connection, migration: Migration) -> None:
    async with connection.transaction():
        # Bytes, because psycopg takes text only where it is a literal; this is our own file.
        await connection.execute(migration.sql.encode())
        await connection.execute(
            "INSERT INTO migration (number, name) VALUES (%s, %s)",
            (migration.number, migration.name),
        )


async def _claim(connection: Connection, deployment: str) -> None:
    await connection.execute(
        "INSERT INTO deployment (name) VALUES (%s) ON CONFLICT DO NOTHING", (deployment,)
    )
    cursor = await connection.execute("SELECT name FROM deployment")
    row = await cursor.fetchone()
    if row is not None:
        _belongs(row["name"], deployment)


def _belongs(found: str, deployment: str) -> None:
    if found != deployment:
        raise SchemaError(f"the database belongs to deployment {found!r}, not {deployment!r}")


async def renew_epoch(conninfo: str) -> None:
    """Make every agent take a new snapshot: needed after a backup was restored."""
    async with await connect(conninfo) as connection, connection.transaction():
        await connection.execute("UPDATE deployment SET epoch = gen_random_uuid()")
        await connection.execute("SELECT pg_notify(%s, 'change')", (CHANNEL,))
