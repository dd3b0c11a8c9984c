"""Resources and stacks to try rules on, and what the cases of a rule are."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from policy.checks import (
    audit,
    database,
    encryption,
    iam,
    instances,
    network,
    turnover,
)
from policy.rule import Resource, Stack
from policy.values import UNKNOWN

Subject = Resource | Stack
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n"
WG = "PrivateKey = " + "A" * 42 + "A="


@dataclass(frozen=True)
class Cases:
    """fail: (subject, words that the message has)."""

    passing: list[Subject]
    failing: list[tuple[Subject, str]]
    unknown: list[Subject] = field(default_factory=list)


def a(kind: str, *, name: str = "x", **props: Any) -> Resource:
    return Resource(type=kind, name=name, props=props, urn=f"urn::{kind}::{name}")


def beside(bucket: Resource, kind: str, **props: Any) -> Resource:
    return Resource(
        type=kind, name="y", props=props, urn=f"urn::{kind}", dependencies=frozenset({bucket.urn})
    )


def stack(*resources: Resource, name: str = "prod", **outputs: Any) -> Stack:
    return Stack(name, (Resource("pulumi:pulumi:Stack", name, outputs), *resources))


SETTINGS: dict[str, Any] = {
    "name": "prod",
    "asn": 64512,
    "anycast": {"addresses": ["192.0.2.1", "2001:db8::1"], "prefixes": ["192.0.2.0/24"]},
    "pools": {"v4": "10.200.0.0/16", "v6": "fd00:200::/64"},
    "loopbacks": {"v4": "10.64.0.0/24", "v6": "fd00:64::/64"},
    "fabric": {"mtu": 1500},
    "client_mtu": 1380,
    "client_keepalive": 25,
    "datacentres": [
        {
            "name": "fra",
            "kind": "metal",
            "edges": [{"name": "fra-edge", "asn": 64601, "bfd": {"interval": 50, "multiplier": 3}}],
            "nodes": [{"name": "fra-1", "id": 1}, {"name": "fra-2", "id": 2}],
        },
        {
            "name": "dub",
            "kind": "aws",
            "nodes": [{"name": "dub-1", "id": 3}, {"name": "dub-2", "id": 4}],
            "aws": {
                "network": "10.1.0.0/16",
                "entry": "accelerator",
                "route_server": {"asn": 64700},
            },
        },
    ],
}


def deployed(*resources: Resource, name: str = "prod", **changed: Any) -> Stack:
    """A stack with the settings above; keys like `anycast__prefixes` change what is inside."""
    document = copy.deepcopy(SETTINGS)
    for path, value in changed.items():
        *folders, last = path.split("__")
        inner: Any = document
        for part in folders:
            inner = inner[int(part) if part.isdigit() else part]
        inner[int(last) if last.isdigit() else last] = value
    return stack(*resources, name=name, settings=document)


def without(index: int) -> list[Any]:
    return [dc for number, dc in enumerate(SETTINGS["datacentres"]) if number != index]


NOT_YET = stack(settings=UNKNOWN)
ONE_NODE = [{"name": "fra-1", "id": 1}]


def hosts(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "kind": "node", "place": "fra", "address": UNKNOWN} for name in names]


def moved(old: list[str], new: list[str], fresh: list[str]) -> Stack:
    """A change of nodes; machines of `fresh` have no ARN yet."""
    previous = a(turnover.PREVIOUS, nodes=hosts(*old))
    machines = [
        a(instances.INSTANCE, name=name, arn=UNKNOWN if name in fresh else "arn:…") for name in new
    ]
    return stack(previous, *machines, hosts=hosts(*new))


def resized(
    names: list[str], *, old: str, new: dict[str, str], deleted: list[str] | None = None
) -> Stack:
    """Machines that stay, and become another instance type."""
    previous = a(turnover.PREVIOUS, nodes=[host | {"machine": old} for host in hosts(*names)])
    left = [name for name in names if name not in (deleted or [])]
    machines = [a(instances.INSTANCE, name=name, arn="arn:…") for name in left]
    return stack(previous, *machines, hosts=hosts(*left), machines=new)


def rule(**props: Any) -> Resource:
    return a(network.INGRESS_RULE, **{"ipProtocol": "tcp", "fromPort": 22, "toPort": 22, **props})


def policy(action: Any, target: Any = "arn:aws:s3:::audit/*", **more: Any) -> Resource:
    statement = {"Effect": "Allow", "Action": action, "Resource": target, **more}
    return a(iam.POLICY, policy=json.dumps({"Statement": statement}))


GROUP: dict[str, Any] = {
    "protocol": "UDP",
    "stickiness": {"enabled": True, "type": "source_ip"},
    "preserveClientIp": "true",
    "healthCheck": {"port": "9178", "protocol": "HTTP"},
}
DATABASE: dict[str, Any] = {
    "multiAz": True,
    "backupRetentionPeriod": 14.0,
    "deletionProtection": True,
    "storageEncrypted": True,
    "parameterGroupName": UNKNOWN,
}
ALL_ON: dict[str, Any] = dict.fromkeys(audit.SWITCHES, True)
BUCKET = a(encryption.BUCKET, name="audit-trail", objectLockEnabled=True)
LOCKED = (
    beside(BUCKET, audit.LOCK, rule={"defaultRetention": {"mode": "GOVERNANCE", "days": 365}}),
    beside(BUCKET, audit.VERSIONING, versioningConfiguration={"status": "Enabled"}),
)


def encrypted(algorithm: Any) -> Resource:
    return beside(
        BUCKET,
        encryption.BUCKET_ENCRYPTION,
        rules=[{"applyServerSideEncryptionByDefault": {"sseAlgorithm": algorithm}}],
    )


def guarded(protected: bool) -> Resource:
    return Resource(database.DATABASE, "db", {}, protected=protected)
