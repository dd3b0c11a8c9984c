"""Connections to Postgres, and what its absence looks like to a caller.

`reading` and `writing` are the only ways to a connection. Both turn a lost or
refused connection into `Unavailable`; the pool makes new connections by itself, and
checks each before it hands it out, so a restart of Postgres costs the calls that run
at that moment and nothing else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from anycastle.control.errors import Unavailable

Connection = psycopg.AsyncConnection[DictRow]

CHANNEL = "anycastle"
"""NOTIFY channel. Payloads: `change`, `event`, `revoked NODE`; the rows hold the rest."""

CONNECT: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "application_name": "anycastle-control",
    "options": "-c statement_timeout=20000 -c idle_in_transaction_session_timeout=30000"
    " -c timezone=UTC",
}
"""Connection settings on top of the configured ones: nothing waits for ever."""


class Database:
    """conninfo: a libpq connection string. size: most connections at a time."""

    def __init__(self, conninfo: str, size: int = 8) -> None:
        self.conninfo = conninfo
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            conninfo,
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs={**CONNECT, "row_factory": dict_row},
            min_size=1,
            max_size=size,
            timeout=5.0,
            max_waiting=1000,
            reconnect_timeout=30.0,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )

    async def open(self) -> None:
        """Start the pool; does not wait for Postgres."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        await self._pool.close(timeout=5.0)

    def statistics(self) -> dict[str, int]:
        """The pool's counters, as psycopg_pool names them."""
        return self._pool.get_stats()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """A connection in a read-only, repeatable-read transaction. Raises Unavailable."""
        async with self._transaction(psycopg.IsolationLevel.REPEATABLE_READ, True) as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[Connection]:
        """A connection in a transaction that commits at the end. Raises Unavailable."""
        async with self._transaction(None, None) as connection:
            yield connection

    @asynccontextmanager
    async def _transaction(
        self, isolation: psycopg.IsolationLevel | None, read_only: bool | None
    ) -> AsyncIterator[Connection]:
        try:
            async with self._pool.connection() as connection:
                # Both travel with BEGIN. Set each time: a pooled connection remembers.
                await connection.set_isolation_level(isolation)
                await connection.set_read_only(read_only)
                async with connection.transaction():
                    yield connection
        except (PoolTimeout, PoolClosed) as error:
            raise Unavailable("database_unavailable", f"no database connection: {error}") from error
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Unavailable("database_unavailable", f"the database failed: {error}") from error


async def connect(conninfo: str) -> Connection:
    """One connection outside the pool, in autocommit mode (for LISTEN and migrations)."""
    return await psycopg.AsyncConnection[DictRow].connect(
        conninfo, autocommit=True, row_factory=dict_row, **CONNECT
    )
