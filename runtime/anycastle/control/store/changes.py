"""The transaction in which rows and the change that tells of them are written.

`changing` locks the deployment row first. So writers run one after another, commit in
the order of their revisions, and a rolled back one leaves no gap: what a feed reads
with `revision > N ORDER BY revision` is complete up to the last row that it got.
The same lock makes allocation safe.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from anycastle.control.database import CHANNEL, Connection, Database
from anycastle.control.errors import Unavailable
from anycastle.model import codec
from anycastle.model.client import Client
from anycastle.model.feed import Change, NodeOrder

RING = 10_000
"""Changes that are kept. An agent that was away for longer gets a snapshot."""

# One statement, because each costs a round trip while the lock is held.
_RECORD = """
WITH advanced AS (UPDATE deployment SET revision = %(revision)s),
    added AS (INSERT INTO change (revision, reason, frame)
        VALUES (%(revision)s, %(reason)s, %(frame)s)),
    dropped AS (DELETE FROM change WHERE revision <= %(oldest)s)
SELECT pg_notify(%(channel)s, 'change')
"""


class Head(NamedTuple):
    """Where the deployment stands."""

    deployment: str
    epoch: str
    revision: int


@dataclass
class Writing:
    """An open transaction. put, remove, orders: what the change will tell the agents.

    revision: the one that this transaction becomes when it commits.
    """

    connection: Connection
    revision: int
    put: list[Client] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    orders: list[NodeOrder] = field(default_factory=list)


@asynccontextmanager
async def changing(database: Database, reason: str) -> AsyncIterator[Writing]:
    """Rows and change in one transaction; an exception leaves neither."""
    async with database.writing() as connection, within(connection, reason) as writing:
        yield writing


@asynccontextmanager
async def within(connection: Connection, reason: str) -> AsyncIterator[Writing]:
    """The same in a transaction that is open already. Where it ends with nothing to tell,
    there is no new revision."""
    head = await read_head(connection, lock=True)
    writing = Writing(connection, head.revision + 1)
    yield writing
    if writing.put or writing.remove or writing.orders:
        await _record(writing, reason)


async def read_head(connection: Connection, *, lock: bool = False) -> Head:
    query = "SELECT name, epoch::text, revision FROM deployment"
    cursor = await connection.execute(query + (" FOR UPDATE" if lock else ""))
    row = await cursor.fetchone()
    if row is None:
        raise Unavailable("database_empty", "the database has no deployment: run migrate")
    return Head(row["name"], row["epoch"], row["revision"])


async def read_frames(connection: Connection, after: int, limit: int) -> list[tuple[int, bytes]]:
    """(revision, encoded change) of the changes after `after`, in order."""
    cursor = await connection.execute(
        "SELECT revision, frame FROM change WHERE revision > %s ORDER BY revision LIMIT %s",
        (after, limit),
    )
    return [(row["revision"], bytes(row["frame"])) for row in await cursor.fetchall()]


async def _record(writing: Writing, reason: str) -> None:
    change = Change(
        after=writing.revision - 1,
        revision=writing.revision,
        reason=reason,
        put=tuple(writing.put),
        remove=tuple(writing.remove),
        nodes=tuple(writing.orders),
    )
    values = {
        "revision": change.revision,
        "reason": reason,
        "frame": codec.to_msgpack(change),
        "oldest": change.revision - RING,
        "channel": CHANNEL,
    }
    await writing.connection.execute(_RECORD, values)
