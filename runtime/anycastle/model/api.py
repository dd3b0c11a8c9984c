"""Bodies of the HTTP API. Operators' and agents' calls; `control` serves them."""

from __future__ import annotations

import msgspec

from anycastle.model.addresses import Address
from anycastle.model.codec import Key
from anycastle.model.status import DrainPhase, NodeState, ProbeStatus, Takeovers


class ErrorBody(msgspec.Struct, frozen=True, kw_only=True):
    """code: stable, snake_case, for programs. field: path in the request, if one is at fault."""

    code: str
    message: str
    field: str | None = None


class Error(msgspec.Struct, frozen=True, kw_only=True):
    error: ErrorBody


class JoinRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A node's first call. csr: PEM; its subject is ignored, the token names the node."""

    token: str
    node: str
    csr: str


class RenewRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A node's call over its present certificate. csr: PEM.

    certificate: PEM, for a node whose certificate has expired and which therefore can't
    use it for the connection; the request must be signed by the same key.
    """

    csr: str
    certificate: str | None = None


class Certificate(msgspec.Struct, frozen=True, kw_only=True):
    """certificate, ca: PEM. expires_at: epoch seconds."""

    certificate: str
    ca: str
    expires_at: float


class ClientCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """addresses: asked for; empty lets the control plane choose.

    preshared_key: made by the operator's CLI; None: the credential has none.
    """

    name: str
    public_key: Key
    preshared_key: Key | None = None
    addresses: tuple[Address, ...] = ()


class ClientView(msgspec.Struct, frozen=True, kw_only=True):
    """A client and its session. latest_handshake, created_at: ISO 8601, UTC."""

    id: str
    name: str
    addresses: tuple[Address, ...]
    public_key: Key
    owner: str | None
    endpoint: str | None
    latest_handshake: str | None
    created_at: str


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """What a client's `wg-quick` file needs beside its own keys and addresses."""

    endpoints: tuple[str, ...]
    service_public_key: Key
    allowed_ips: tuple[str, ...]
    mtu: int
    keepalive: int


class ClientCreated(msgspec.Struct, frozen=True, kw_only=True):
    client: ClientView
    connection: Connection
    revision: int


class ClientRemoved(msgspec.Struct, frozen=True, kw_only=True):
    """client: as it was. revision: of the change that removes it from the nodes."""

    client: ClientView
    revision: int


class NodeDrain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What an operator asks of a node. deadline_seconds: how long to wait for its sessions.

    force: also when no other node could take its clients over. reason: for people.
    """

    deadline_seconds: float = 600.0
    force: bool = False
    reason: str = ""


class DrainView(msgspec.Struct, frozen=True, kw_only=True):
    """An order to drain that stands. since, deadline: ISO 8601, UTC.

    sessions: left on the node; null while that is not known. phase: how far the node is,
    null until it has answered to this order, or while it is silent. ready: but for the
    order it would announce. seconds_left: to the deadline, on the control plane's clock.
    """

    since: str
    deadline: str
    seconds_left: float
    sessions: int | None
    phase: DrainPhase | None
    ready: bool
    reason: str = ""
    force: bool = False


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """sessions: their number. last_report: ISO 8601, UTC, or null before the first.

    drain: the operators' order that the node leave service, null when it is to serve.
    """

    name: str
    datacentre: str
    state: NodeState
    announcing: bool
    sessions: int
    revision: int
    routing: str
    wireguard: str
    version: str
    reason: str = ""
    last_report: str | None = None
    probes: tuple[ProbeStatus, ...] = ()
    drain: DrainView | None = None
    takeover: str = ""
    takeovers: Takeovers = Takeovers()


class TokenCreate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """kind: `operator` (API calls) or `join` (one node's first call; `node` is required).

    role: for operators, `admin` or `viewer`. expires_in: seconds; None: no end
    (operators) or one hour (join).
    """

    kind: str
    name: str
    role: str | None = None
    node: str | None = None
    expires_in: float | None = None


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """Times are ISO 8601, UTC."""

    id: str
    kind: str
    name: str
    role: str | None
    node: str | None
    created_at: str
    expires_at: str | None
    used_at: str | None
    revoked_at: str | None


class TokenCreated(msgspec.Struct, frozen=True, kw_only=True):
    """secret: shown once, stored hashed."""

    token: TokenView
    secret: str


class ClientCounts(msgspec.Struct, frozen=True, kw_only=True):
    """connected: clients whose session some node owns."""

    enrolled: int
    connected: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    deployment: str
    revision: int
    anycast: tuple[Address, ...]
    nodes: tuple[NodeView, ...]
    clients: ClientCounts
