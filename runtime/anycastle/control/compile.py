"""Rows to model structs: pure, so that what agents are told has one obvious place.

Later kinds of state (policy, service-key generations) are compiled here, too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

from anycastle.model import codec
from anycastle.model.api import ClientView, DrainView, NodeView, TokenView
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key
from anycastle.model.feed import NodeOrder
from anycastle.model.status import Event, NodeReport, NodeState

Row = Mapping[str, Any]

LIVE = 195.0
"""Seconds after its last handshake for which a session counts: WireGuard forgets the keys
after 180 s, and a node reports every 10 s."""


def clients(rows: Iterable[Row]) -> list[Client]:
    """One row per credential, in the order of the clients' ids, to clients."""
    return [client(list(group)) for _, group in groupby(rows, key=lambda row: row["id"])]


def client(rows: Sequence[Row]) -> Client:
    """The rows of one client, one per credential, oldest first."""
    first = rows[0]
    return Client(
        id=str(first["id"]),
        name=first["name"],
        addresses=tuple(first["addresses"]),
        credentials=tuple(_credential(row) for row in rows),
    )


def _credential(row: Row) -> Credential:
    secret = row["preshared_key"]
    not_after: datetime | None = row["not_after"]
    return Credential(
        id=str(row["credential"]),
        public_key=Key(row["public_key"]),
        preshared_key=None if secret is None else Key(secret),
        not_after=None if not_after is None else not_after.timestamp(),
    )


def client_view(row: Row, now: datetime) -> ClientView:
    handshake: datetime | None = row["latest_handshake"]
    live = handshake is not None and now - handshake < timedelta(seconds=LIVE)
    return ClientView(
        id=str(row["id"]),
        name=row["name"],
        addresses=tuple(row["addresses"]),
        public_key=Key(row["public_key"]),
        owner=row["node"] if live else None,
        endpoint=row["endpoint"] if live else None,
        latest_handshake=iso(handshake),
        created_at=_iso(row["created_at"]),
    )


def node_view(row: Row, now: datetime, timeout: float) -> NodeView:
    """timeout: seconds of silence after which nothing is known of a node."""
    reported_at: datetime | None = row["reported_at"]
    if reported_at is None:
        return _silent(row, now, "it has joined and not reported yet")
    report = codec.from_plain(row["report"], NodeReport)
    silence = (now - reported_at).total_seconds()
    known = silence < timeout
    return NodeView(
        name=report.name,
        datacentre=report.datacentre,
        state=report.state if known else NodeState.UNKNOWN,
        announcing=report.announcing and known,
        sessions=row["sessions"] if known else 0,
        revision=report.revision,
        routing=report.routing,
        wireguard=report.wireguard,
        version=report.version,
        reason=report.reason if known else f"no report for {silence:.0f} s, then {report.state}",
        last_report=_iso(reported_at),
        probes=report.probes,
        drain=drain_view(row, now, report if known else None),
        takeover=report.takeover,
        takeovers=report.takeovers,
    )


def order(row: Row) -> NodeOrder:
    """A row of `store.drains`."""
    return NodeOrder(
        name=row["node"],
        drain=True,
        since=row["since"].timestamp(),
        deadline=row["deadline"].timestamp(),
        reason=row["reason"],
        force=row["force"],
    )


def drain_view(row: Row, now: datetime, report: NodeReport | None) -> DrainView | None:
    """report: the node's last one, None when nothing is known of the node."""
    since: datetime | None = row["since"]
    if since is None:
        return None
    deadline: datetime = row["deadline"]
    status = None if report is None else report.drain
    times = (since.timestamp(), deadline.timestamp())
    if status is not None and (status.since, status.deadline) != times:
        status = None  # of an earlier order: it has not heard of this one
    return DrainView(
        since=_iso(since),
        deadline=_iso(deadline),
        seconds_left=max(0.0, round((deadline - now).total_seconds(), 3)),
        sessions=row["sessions"] if report is not None else None,
        phase=None if status is None else status.phase,
        ready=status is not None and status.ready,
        reason=row["drain_reason"],
        force=row["force"],
    )


def _silent(row: Row, now: datetime, reason: str) -> NodeView:
    return NodeView(
        name=row["name"],
        datacentre="",
        state=NodeState.UNKNOWN,
        announcing=False,
        sessions=0,
        revision=0,
        routing="",
        wireguard="",
        version="",
        reason=reason,
        drain=drain_view(row, now, None),
    )


def token_view(row: Row) -> TokenView:
    return TokenView(
        id=str(row["id"]),
        kind=row["kind"],
        name=row["name"],
        role=row["role"],
        node=row["node"],
        created_at=_iso(row["created_at"]),
        expires_at=iso(row["expires_at"]),
        used_at=iso(row["used_at"]),
        revoked_at=iso(row["revoked_at"]),
    )


def event(row: Row) -> Event:
    return Event(
        id=row["id"],
        kind=row["kind"],
        at=row["at"].timestamp(),
        message=row["message"],
        node=row["node"],
        client=row["client"],
        data=row["data"],
    )


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else _iso(moment)


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
