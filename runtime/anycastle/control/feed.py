"""The change feed: one LISTEN per API process, fanned out to the agents' streams.

One task (`Hub.run`) listens on one connection. A notification says only that there is
something new; the hub then reads the changes after the last that it has, so a lost
notification (Postgres restarted) costs time and never a change: every RECHECK seconds,
and after every reconnect, it looks by itself.

A stream pulls: it remembers its revision and takes from the hub's ring what follows.
So a slow agent holds no memory here beyond its socket's buffer; one that takes longer
than WRITE_TIMEOUT for a write, or falls out of the ring, is cut and resumes by revision.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from itertools import islice
from typing import NamedTuple

import psycopg
import structlog

from anycastle.control import bell
from anycastle.control import compile as compiler
from anycastle.control.bell import Bell
from anycastle.control.database import CHANNEL, Connection, Database, connect
from anycastle.control.errors import ControlError, Unavailable
from anycastle.control.store import changes, clients, drains
from anycastle.control.store.changes import Head
from anycastle.model import codec
from anycastle.model.client import Client
from anycastle.model.feed import Frame, Heartbeat, NodeOrder, Snapshot

HEARTBEAT = 5.0
RECHECK = 5.0
RECONNECT = 0.5
BATCH = 1_000
"""Changes per read and per write."""
SNAPSHOT_AGE = 1_000
"""A cached snapshot is sent with up to so many changes after it, then made anew."""

log = structlog.get_logger()


class Entry(NamedTuple):
    revision: int
    frame: bytes


class Cut(Exception):
    """A stream that has to start again; the message says why."""


def framed(document: bytes) -> bytes:
    """A frame on the wire (see model.feed)."""
    return len(document).to_bytes(4, "big") + document


def encode(frame: Frame) -> bytes:
    return framed(codec.to_msgpack(frame))


class Hub:
    """The feed of one API process.

    head: what the hub knows of the database (None until it was reached).
    events: rings when events were stored. on_revoked: called when a node was removed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._ring: deque[Entry] = deque(maxlen=changes.RING)
        self._snapshot: Entry | None = None
        self._snapshot_lock = asyncio.Lock()
        self._changed = Bell()
        self._life = 0  # counts the times that the feed started anew
        self._removals = 0  # of nodes: their orders end with them, and no change says so
        self.head: Head | None = None
        self.listening = False
        self.closing = False
        self.streams = 0
        self.events = Bell()
        self.on_revoked: Callable[[str], None] = lambda _: None

    async def run(self) -> None:
        """Listen until cancelled; survives the database's absence."""
        while True:
            try:
                await self._listen()
            except (psycopg.Error, ControlError, OSError) as error:
                log.warning("feed.database_lost", error=str(error).strip())
            self.listening = False
            await asyncio.sleep(RECONNECT)

    def close(self) -> None:
        """End all streams: their agents go to another API process."""
        self.closing = True
        self._changed.ring()

    async def stream(self, epoch: str, revision: int | None) -> AsyncGenerator[bytes, None]:
        """What an agent at (epoch, revision) has to be sent, as bytes, for ever.

        Raises Cut when the stream can't go on, Unavailable without a database.
        """
        head, life = self._require_head(), self._life
        self.streams += 1
        try:
            if revision is not None and await self._reaches(epoch, revision, head):
                position = revision
            else:
                snapshot = await self._current_snapshot()
                yield snapshot.frame
                position = snapshot.revision
            yield self._heartbeat(position)
            async for chunk in self._follow(life, position):
                yield chunk
        finally:
            self.streams -= 1

    async def _follow(self, life: int, position: int) -> AsyncIterator[bytes]:
        while True:
            advanced = self._changed.next()
            if self.closing or self._life != life:
                raise Cut("the feed starts anew")
            entries = await self._after(position)
            if entries is None:
                raise Cut(f"the changes after revision {position} are not kept any more")
            if entries:
                position = entries[-1].revision
                yield b"".join(entry.frame for entry in entries)
                continue
            if not await bell.wait(advanced, HEARTBEAT):
                yield self._heartbeat(position)

    def _heartbeat(self, position: int) -> bytes:
        return encode(Heartbeat(revision=position, at=time.time()))

    def _require_head(self) -> Head:
        if self.head is None:
            raise Unavailable("database_unavailable", "the feed has not reached the database yet")
        return self.head

    async def _reaches(self, epoch: str, revision: int, head: Head) -> bool:
        """Can an agent at (epoch, revision) go on from there?"""
        if epoch != head.epoch or not 0 <= revision <= head.revision:
            return False
        return await self._after(revision) is not None

    async def _after(self, revision: int) -> list[Entry] | None:
        """The changes that follow `revision`, at most BATCH; None: they are not kept."""
        head = self._require_head()
        if revision >= head.revision:
            return []
        first = self._ring[0].revision if self._ring else head.revision + 1
        if revision + 1 >= first:
            start = revision + 1 - first
            return list(islice(self._ring, start, start + BATCH))
        async with self._database.reading() as connection:
            entries = await _read(connection, revision)
        return entries if entries and entries[0].revision == revision + 1 else None

    async def _current_snapshot(self) -> Entry:
        # One at a time: a thousand agents that come at once share one snapshot.
        async with self._snapshot_lock:
            head = self._require_head()
            cached = self._snapshot
            if cached is None or not 0 <= head.revision - cached.revision <= SNAPSHOT_AGE:
                made_for = (self._life, self._removals)
                cached = await self._make_snapshot()
                self._snapshot = cached if made_for == (self._life, self._removals) else None
            return cached

    async def _make_snapshot(self) -> Entry:
        async with self._database.reading() as connection:
            head = await changes.read_head(connection)
            rows = [row async for row in clients.read_all_compiled(connection)]
            orders = [compiler.order(row) for row in await drains.read_all(connection)]
        document = await asyncio.to_thread(_encode_snapshot, head, rows, orders)
        return Entry(head.revision, document)

    async def _listen(self) -> None:
        async with await connect(self._database.conninfo) as connection:
            await connection.execute(f"LISTEN {CHANNEL}")
            await self._catch_up(connection)
            self.listening = True
            log.info("feed.listening", revision=self.head.revision if self.head else None)
            while True:
                async for notice in connection.notifies(timeout=RECHECK, stop_after=1):
                    self._notice(notice.payload)
                await self._catch_up(connection)

    def _notice(self, payload: str) -> None:
        word, _, name = payload.partition(" ")
        if word == "event":
            self.events.ring()
        elif word == "revoked":
            self._snapshot = None
            self._removals += 1
            self.on_revoked(name)

    async def _catch_up(self, connection: Connection) -> None:
        head = await changes.read_head(connection)
        known = self.head
        if known is None or head.epoch != known.epoch or head.revision < known.revision:
            self._start_anew(head)
            return
        position = known.revision
        while position < head.revision:
            entries = await _read(connection, position)
            if not entries or entries[0].revision != position + 1:
                self._start_anew(head)
                return
            self._ring.extend(entries)
            position = entries[-1].revision
        if position != known.revision:
            self.head = head._replace(revision=position)
            self._changed.ring()

    def _start_anew(self, head: Head) -> None:
        self._ring.clear()
        self._snapshot = None
        self._life += 1
        self.head = head
        self._changed.ring()


async def _read(connection: Connection, after: int) -> list[Entry]:
    frames = await changes.read_frames(connection, after, BATCH)
    return [Entry(revision, framed(frame)) for revision, frame in frames]


def _encode_snapshot(head: Head, rows: list[clients.Row], orders: list[NodeOrder]) -> bytes:
    everyone: tuple[Client, ...] = tuple(compiler.clients(rows))
    return encode(
        Snapshot(
            deployment=head.deployment,
            epoch=head.epoch,
            revision=head.revision,
            clients=everyone,
            nodes=tuple(orders),
        )
    )
