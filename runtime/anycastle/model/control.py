"""Configuration of a control-plane host (/etc/anycastle/control.json)."""

from __future__ import annotations

import msgspec

from anycastle.model.addresses import Address, Dual, Network
from anycastle.model.aws import LockMode
from anycastle.model.codec import Key
from anycastle.model.deployment import Anycast


class AuditBucket(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where events are kept so that nobody can change them: an S3 bucket with object lock.

    kms_key: ARN of the key that encrypts them. retention_days, mode: of the lock.
    """

    name: str
    region: str
    kms_key: str
    retention_days: int = 365
    mode: LockMode = LockMode.COMPLIANCE


class ControlSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What the API has to know. database: a libpq connection string.

    service_public_key: the service key that clients put in their `[Peer]` section.
    allowed_networks: inside networks that clients may reach (their allowed IPs,
    beside the pools).
    names: host names and addresses that the server certificate is made out to.
    certificate_lifetime: seconds of a node certificate.
    node_timeout: seconds of silence before a node counts as UNKNOWN.
    audit: where `anycastle-control export-events` puts events.
    """

    deployment: str
    anycast: Anycast
    pools: Dual
    service_public_key: Key
    database: str = "dbname=anycastle"
    client_mtu: int = 1380
    client_keepalive: int = 25
    allowed_networks: tuple[Network, ...] = ()
    listen: tuple[Address, ...] = ()
    port: int = 8443
    names: tuple[str, ...]
    ca_certificate_file: str = "/etc/anycastle/ca.pem"
    ca_key_file: str = "/etc/anycastle/ca.key"
    certificate_lifetime: float = 86400.0
    node_timeout: float = 30.0
    audit: AuditBucket | None = None
