"""Who is calling, and what they may do (pure; the rows come from store/tokens).

Secrets are 256 random bits, so a plain SHA-256 keeps them: there is no dictionary to
try, and a slow password hash would only make every call slow. A token is looked up by
its hash, which tells an attacker nothing by its timing as they can't choose hashes;
the comparison afterwards is constant-time all the same.

Who holds a secret is told whether its token is used, expired or revoked; who guesses
is told only that there is no such token.
"""

from __future__ import annotations

import enum
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from typing import Any, NamedTuple

from anycastle.control.errors import Forbidden, Unauthenticated

Row = Mapping[str, Any]

MIN_SECRET = 32
"""Characters: a secret that somebody else made must not be shorter."""
JOIN_LIFETIME = 3600.0
"""Seconds that a join token lives unless told otherwise."""


class Role(enum.StrEnum):
    """admin: everything. viewer: reads."""

    ADMIN = "admin"
    VIEWER = "viewer"


class Operator(NamedTuple):
    name: str
    role: Role

    @property
    def actor(self) -> str:
        """How events name them."""
        return f"operator:{self.name}"


class NodeIdentity(NamedTuple):
    """The peer of an mTLS connection. not_after: epoch seconds."""

    name: str
    serial: int
    not_after: float


def new_secret(kind: str) -> str:
    """A secret that says what it is, so that people and secret scanners can tell."""
    return f"anycastle-{kind}-{secrets.token_urlsafe(32)}"


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def bearer(header: str | None) -> str:
    """The secret in an Authorization header. Raises Unauthenticated."""
    scheme, _, secret = (header or "").partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        raise Unauthenticated(
            "token_missing", "this call needs the header `Authorization: Bearer TOKEN`"
        )
    return secret.strip()


def operator(row: Row | None, secret: str) -> Operator:
    """Raises Unauthenticated."""
    row = _in_force(row, secret, "operator")
    return Operator(row["name"], Role(row["role"]))


def join(row: Row | None, secret: str, node: str, key: bytes) -> None:
    """May the holder of `secret` join as `node` with the public key of digest `key`?

    A used token still serves the key that used it, until it expires: the answer to the
    first call may have been lost. Raises Unauthenticated or Forbidden.
    """
    row = _in_force(row, secret, "join")
    if row["used_at"] is not None and row["used_by"] != key:
        raise Unauthenticated(
            "token_used", "this join token has been used already; a new one is needed", "token"
        )
    if row["node"] != node:
        raise Forbidden(
            "token_other_node", f"this join token is for node {row['node']!r}, not {node!r}", "node"
        )


def require(caller: Operator, role: Role) -> None:
    """Raises Forbidden."""
    if role is Role.ADMIN and caller.role is not Role.ADMIN:
        raise Forbidden(
            "role_insufficient", f"token {caller.name!r} may only read; this call needs role admin"
        )


def _in_force(row: Row | None, secret: str, kind: str) -> Row:
    field = "token" if kind == "join" else None
    if row is None or row["kind"] != kind or not hmac.compare_digest(row["secret"], digest(secret)):
        raise Unauthenticated("token_unknown", f"this is no {kind} token of the deployment", field)
    if row["revoked_at"] is not None:
        raise Unauthenticated("token_revoked", f"this {kind} token was revoked", field)
    if row["expired"]:
        when = row["expires_at"].isoformat(timespec="seconds")
        raise Unauthenticated("token_expired", f"this {kind} token expired at {when}", field)
    return row
