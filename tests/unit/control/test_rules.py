"""Tokens, addresses and rows: the pure rules of the control plane."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.control import allocate, auth, migrate
from anycastle.control import compile as compiler
from anycastle.control.errors import ControlError, Forbidden, Invalid, Unauthenticated
from anycastle.model import codec
from anycastle.model.addresses import Dual
from anycastle.model.status import NodeReport, NodeState

NOW = datetime(2030, 1, 1, tzinfo=UTC)
SECRET = "anycastle-join-secret"


def _token(**values: Any) -> dict[str, Any]:
    row = {
        "kind": "join", "name": "n", "role": None, "node": "ams-1",
        "secret": hashlib.sha256(SECRET.encode()).digest(), "expires_at": NOW, "expired": False,
        "used_at": None, "used_by": None, "revoked_at": None,
    }  # fmt: skip
    return row | values


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (None, "token_unknown"),
        (_token(secret=b"x" * 32), "token_unknown"),
        (_token(kind="operator"), "token_unknown"),
        (_token(revoked_at=NOW), "token_revoked"),
        (_token(expired=True), "token_expired"),
        (_token(used_at=NOW, used_by=b"another"), "token_used"),
        (_token(node="fra-1"), "token_other_node"),
    ],
)
def test_a_join_is_refused_with_its_reason(row: dict[str, Any] | None, code: str) -> None:
    with pytest.raises((Unauthenticated, Forbidden)) as caught:
        auth.join(row, SECRET, "ams-1", b"key")
    assert caught.value.code == code


@pytest.mark.parametrize("row", [_token(), _token(used_at=NOW, used_by=b"key")])
def test_a_join_is_allowed_once_and_again_to_the_same_key(row: dict[str, Any]) -> None:
    auth.join(row, SECRET, "ams-1", b"key")


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic abc", "abc"])
def test_no_bearer_token(header: str | None) -> None:
    with pytest.raises(Unauthenticated) as caught:
        auth.bearer(header)
    assert caught.value.code == "token_missing"


def test_secrets_are_long_and_differ() -> None:
    made = {auth.new_secret("join") for _ in range(100)}
    assert len(made) == 100
    assert min(map(len, made)) >= auth.MIN_SECRET
    assert auth.bearer("bearer " + min(made)) == min(made)


def test_a_viewer_may_not_what_an_admin_may() -> None:
    viewer = auth.Operator("eve", auth.Role.VIEWER)
    auth.require(viewer, auth.Role.VIEWER)
    auth.require(auth.Operator("root", auth.Role.ADMIN), auth.Role.ADMIN)
    with pytest.raises(Forbidden):
        auth.require(viewer, auth.Role.ADMIN)


POOLS = Dual(IPv4Network("10.200.0.0/24"), IPv6Network("fd00:200::/64"))


@given(st.lists(st.ip_addresses(network="10.200.0.0/23") | st.ip_addresses(v=6), max_size=3))
def test_a_client_gets_one_address_of_each_pool_or_a_clear_no(addresses: list[Any]) -> None:
    try:
        request = allocate.request(POOLS, addresses)
    except Invalid as error:
        paths = {f"addresses[{index}]" for index in range(len(addresses))}
        assert error.field in paths  # noqa: PT017 - it may as well not raise
        return
    versions = [a.version for a in request.wanted] + [p.network.version for p in request.choose]
    assert sorted(versions) == [4, 6]
    for address in request.wanted:
        network = POOLS.v4 if address.version == 4 else POOLS.v6
        assert address in network
        assert int(address) - int(network.network_address) >= 16


def test_a_pool_without_room_for_clients_is_no_pool() -> None:
    assert allocate.pool_range(IPv4Network("10.0.0.0/27")).first == ip_address("10.0.0.16")
    with pytest.raises(ValueError, match="has no address number 16"):
        allocate.pool_range(IPv4Network("10.0.0.0/28"))


def _row(client: int, credential: int) -> dict[str, Any]:
    return {
        "id": UUID(int=client), "name": f"c{client}", "addresses": [ip_address("10.200.0.16")],
        "credential": UUID(int=credential), "public_key": bytes(31) + bytes([credential]),
        "preshared_key": None, "not_after": None,
    }  # fmt: skip


def test_rows_of_one_client_become_one_client_with_its_credentials_in_order() -> None:
    made = compiler.clients([_row(1, 1), _row(1, 2), _row(2, 3)])
    assert [(c.name, [k.public_key[-1] for k in c.credentials]) for c in made] == [
        ("c1", [1, 2]),
        ("c2", [3]),
    ]


@pytest.mark.parametrize(("silence", "state"), [(29, NodeState.DRAINING), (31, NodeState.UNKNOWN)])
def test_nothing_is_known_of_a_silent_node(silence: int, state: NodeState) -> None:
    report = NodeReport(
        name="ams-1", datacentre="ams", state=NodeState.DRAINING, announcing=True, revision=1,
        routing="bird", wireguard="kernel", version="1", at=0.0, reason="asked to",
    )  # fmt: skip
    row = {
        "name": "ams-1", "reported_at": NOW - timedelta(seconds=silence), "sessions": 3,
        "report": codec.to_plain(report), "since": None,
    }  # fmt: skip
    view = compiler.node_view(row, NOW, 30.0)
    assert view.state is state
    assert (view.announcing, view.sessions) == ((True, 3) if silence < 30 else (False, 0))


def test_migrations_are_numbered_without_gap_and_the_database_may_not_be_ahead() -> None:
    known = migrate.migrations()
    assert [m.number for m in known] == list(range(1, len(known) + 1))
    assert migrate.missing([], known) == known
    with pytest.raises(migrate.SchemaError, match="made by a newer one"):
        migrate.missing([1, 99], known)


def test_every_error_says_whose_fault_it_is() -> None:
    statuses = {kind.__name__: kind.status for kind in ControlError.__subclasses__()}
    assert {name: s for name, s in statuses.items() if s >= 500} == {"Unavailable": 503}
