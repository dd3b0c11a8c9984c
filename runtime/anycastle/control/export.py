"""Exports events to an archive that nobody can change: `anycastle-control export-events`.

Events become objects of NDJSON, in order of their ids, up to OBJECT_EVENTS in each:

    events/DEPLOYMENT/2026/11/23/00000000000000000101-00000000000000000350.ndjson

The id of the last exported event is committed after its object is stored. A run that dies
in between stores those events again, under a name that starts with the same id: nothing
is lost, and a reader who goes by ids sees nothing twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import msgspec

from anycastle.control.database import Connection
from anycastle.control.store import events

OBJECT_EVENTS = 10_000

Row = dict[str, Any]


class ExportError(Exception):
    """Events could not be exported. The message says why, and whose fault it is."""


class Archive(Protocol):
    """Where objects go (`aws.archive.Archive`). Blocking."""

    def put(self, name: str, body: bytes, until: datetime) -> None:
        """Store an object that can't be changed before `until`."""


async def export(
    connection: Connection,
    archive: Archive,
    deployment: str,
    retention: timedelta,
    say: Callable[[str], None],
) -> int:
    """Export what is new; how many events. Raises what the archive and the database raise."""
    exported = 0
    while True:
        async with connection.transaction():
            rows = await events.read_after(
                connection, await events.lock_exported(connection), OBJECT_EVENTS
            )
            if not rows:
                return exported
            name = object_name(deployment, rows)
            archive.put(name, ndjson(rows), datetime.now(UTC) + retention)
            await events.set_exported(connection, rows[-1]["id"])
        exported += len(rows)
        say(f"{name}: {len(rows)} events")


def object_name(deployment: str, rows: Sequence[Row]) -> str:
    """See the top of this file; the day is that of the first event, UTC. Pure."""
    day = rows[0]["at"].astimezone(UTC).strftime("%Y/%m/%d")
    return f"events/{deployment}/{day}/{rows[0]['id']:020}-{rows[-1]['id']:020}.ndjson"


def ndjson(rows: Sequence[Row]) -> bytes:
    """One JSON object a line, keys as in the table `event`. Pure."""
    encode = msgspec.json.Encoder().encode
    return b"".join(encode(row) + b"\n" for row in rows)
