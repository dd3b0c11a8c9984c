"""What nodes call: join, renew, report, events."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import msgspec

from anycastle.control import auth, pki
from anycastle.control.api.route import Call
from anycastle.control.auth import NodeIdentity
from anycastle.control.database import Connection
from anycastle.control.errors import Forbidden, Invalid, Unauthenticated
from anycastle.control.pki import Issued
from anycastle.control.store import events, nodes, tokens
from anycastle.model.api import Certificate, JoinRequest, RenewRequest
from anycastle.model.status import Event, NodeReport

KIND = re.compile(r"[a-z_]+(\.[a-z_]+)+")
LATEST = 2.0**33
"""Epoch seconds: a time beyond (the year 2242) is not one."""
MOST_BYTES = 2**63 - 1


async def join(call: Call) -> Certificate:
    body: JoinRequest = call.body
    request = pki.read_request(body.csr)
    async with call.services.database.writing() as connection:
        secret = auth.digest(body.token)
        row = await tokens.read_by_secret(connection, secret, lock=True)
        auth.join(row, body.token, body.node, request.key)
        assert row is not None  # auth.join has seen to it
        if row["used_at"] is None:
            await tokens.mark_used(connection, row["id"], request.key)
        await nodes.join(connection, body.node)
        issued = await _issue(call, connection, request, body.node)
        await _record(connection, "node.joined", body.node, issued)
    return _answer(call, issued)


async def renew(call: Call) -> Certificate:
    """Over mTLS, or with an expired certificate in the body."""
    body: RenewRequest = call.body
    request = pki.read_request(body.csr)
    node, serial = _who_renews(call, body, request)
    async with call.services.database.writing() as connection:
        await refuse_revoked(connection, node, serial)
        issued = await _issue(call, connection, request, node)
        await _record(connection, "node.renewed", node, issued)
    return _answer(call, issued)


async def report(call: Call) -> None:
    body: NodeReport = call.body
    _check_report(body, call.caller)
    async with call.services.database.writing() as connection:
        await refuse_revoked(connection, call.caller.name, call.caller.serial)
        await nodes.store_report(connection, body)


async def add_events(call: Call) -> None:
    batch: list[Event] = call.body
    caller = call.caller
    named = [_named(index, event, caller) for index, event in enumerate(batch)]
    async with call.services.database.writing() as connection:
        await refuse_revoked(connection, caller.name, caller.serial)
        await events.record(connection, events.NODE, named)


async def refuse_revoked(connection: Connection, node: str, serial: int) -> None:
    """Raises Forbidden for a certificate of a node that was removed."""
    if await nodes.is_revoked(connection, serial):
        raise Forbidden(
            "certificate_revoked",
            f"node {node!r} was removed from the deployment; to come back it needs a new"
            " join token",
        )


def _who_renews(call: Call, body: RenewRequest, request: pki.Request) -> tuple[str, int]:
    if call.node is not None:
        return call.node.name, call.node.serial
    if body.certificate is None:
        raise Unauthenticated(
            "certificate_missing",
            "renewing needs the node's client certificate, or its expired one in the body",
        )
    return call.services.authority.read_expired(body.certificate, request, datetime.now(UTC))


async def _issue(call: Call, connection: Connection, request: pki.Request, node: str) -> Issued:
    lifetime = timedelta(seconds=call.services.spec.certificate_lifetime)
    issued = call.services.authority.issue_node(request, node, lifetime)
    await nodes.add_certificate(connection, issued.serial, node, issued.key, issued.expires_at)
    return issued


async def _record(connection: Connection, kind: str, node: str, issued: Issued) -> None:
    event = Event(
        kind=kind,
        at=time.time(),
        message=f"certificate issued to {node}, good until {issued.expires_at:%Y-%m-%dT%H:%M:%SZ}",
        node=node,
        data={"serial": f"{issued.serial:x}"},
    )
    await events.record(connection, "control", [event])


def _answer(call: Call, issued: Issued) -> Certificate:
    return Certificate(
        certificate=issued.certificate,
        ca=call.services.authority.pem,
        expires_at=issued.expires_at.timestamp(),
    )


def _check_report(body: NodeReport, caller: NodeIdentity) -> None:
    if body.name != caller.name:
        raise Forbidden(
            "node_mismatch", f"node {caller.name!r} can't report for {body.name!r}", "name"
        )
    for index, session in enumerate(body.sessions):
        path = f"sessions[{index}]"
        _check_time(f"{path}.latest_handshake", session.latest_handshake)
        if not (0 <= session.received <= MOST_BYTES and 0 <= session.sent <= MOST_BYTES):
            raise Invalid(path, "received and sent are numbers of bytes")


def _named(index: int, event: Event, caller: NodeIdentity) -> Event:
    if not KIND.fullmatch(event.kind):
        raise Invalid(f"[{index}].kind", "expected dotted lower-case words")
    _check_time(f"[{index}].at", event.at)
    return msgspec.structs.replace(event, node=caller.name, id=None)


def _check_time(field: str, value: float) -> None:
    if not 0 <= value < LATEST:
        raise Invalid(field, "expected epoch seconds")
