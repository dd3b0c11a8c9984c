"""The policy pack under the real CLI: a stack that keeps every rule, and variants that break them.

A preview of everything costs seconds of start-up, so one variant breaks many rules at once, and each
rule's own message is looked for in what the CLI reports. Rules that exclude each other, and rules on
what an update replaces, have variants of their own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policy.rules import BOOK
from tools.preview import workspace
from tools.preview.engine import Pulumi
from tools.preview.summary import Preview
from tools.provision import result

PROGRAM = Path(__file__).parent / "program"
STACK = "prod"
APART = {"datacentres-per-deployment"}
"""Takes the datacentre away that other rules are broken in."""
ON_UPDATES = {"node-turnover"}
MESSAGES = {
    "audit-locked": "the bucket has no object lock",
    "bfd-on-edges": "noticed by fra-edge after 2700 ms",
    "bfd-on-peerings": "by BGP's hold time only",
    "buckets-encrypted": "the bucket has no encryption by a KMS key",
    "buckets-private": "the bucket may be made public",
    "data-protected": "it holds data, and a change could delete it",
    "database-protected": "the database stands in one zone",
    "database-tls": "connections without TLS are allowed",
    "datacentres-per-deployment": "the deployment has 1 datacentre(s)",
    "encrypted-at-rest": "the secret is encrypted by the account's shared key",
    "entry-keeps-clients": "stickiness is not source_ip",
    "health-check-on-agent": "health is asked at traffic-port",
    "imdsv2-only": "answers without a session token (IMDSv1)",
    "keepalive-below-timeouts": "after which nat forgets a client",
    "kms-rotation": "the key is not rotated",
    "mtu-consistent": "client MTU 1450 and 80 around it exceed the fabric's 1500",
    "no-secret-in-commands": "create holds a secret",
    "no-secret-in-outputs": "output operator_token is called a secret",
    "no-secret-in-user-data": "userData holds a private key",
    "no-wildcard-iam": "allows the action secretsmanager:*",
    "nodes-per-datacentre": "datacentre fra has 1 node(s)",
    "only-service-port-open": "tcp 443 is open to 0.0.0.0/0",
    "pools-apart-from-vpcs": "pools.v4 10.200.0.0/16 overlaps the VPC net 10.200.0.0/17",
    "prefixes-routable": "8.8.8.0/28 is longer than /24",
    "ssh-not-open": "SSH is open to 0.0.0.0/0",
    "tags-required": "it has no tag anycastle:deployment, anycastle:stack",
    "unique-asns-and-router-ids": "AS 64700 is the nodes' own, and a neighbour's as well",
    "volumes-encrypted": "the root volume is not encrypted",
}


@pytest.fixture(scope="module")
def pulumi() -> Iterator[Pulumi]:
    with workspace.temporary() as place:
        yield Pulumi(place, result.read(), PROGRAM)


def preview(pulumi: Pulumi, **settings: Any) -> Preview:
    config = {f"anycastle:{name}": value for name, value in settings.items()}
    pulumi.configure(STACK, {"config": config})
    return pulumi.preview(STACK)


def messages(found: Preview) -> dict[str, list[str]]:
    by_rule: dict[str, list[str]] = {}
    for violation in found.violations:
        assert violation.level == "mandatory", violation
        by_rule.setdefault(violation.rule, []).append(violation.message)
    return by_rule


def test_every_rule_has_a_variant() -> None:
    assert set(MESSAGES) | ON_UPDATES == set(BOOK.names)


def test_a_stack_that_keeps_the_rules_passes(pulumi: Pulumi) -> None:
    found = preview(pulumi)
    assert found.errors == ()
    assert found.violations == ()
    assert found.counts()["create"] > 20


@pytest.mark.parametrize("broken", [set(MESSAGES) - APART, APART], ids=["many", "datacentres"])
def test_the_cli_rejects_a_stack_that_breaks_rules(pulumi: Pulumi, broken: set[str]) -> None:
    found = preview(pulumi, **{"break": sorted(broken)})
    assert not found.passed
    by_rule = messages(found)
    assert set(by_rule) == broken
    for rule in broken:
        (message, *_) = [text for text in by_rule[rule] if MESSAGES[rule] in text] or [""]
        assert message, by_rule[rule]
        assert f"What to do: {BOOK.names[rule].remedy}" in message


def test_replacing_or_deleting_many_nodes_at_once_is_rejected(pulumi: Pulumi) -> None:
    preview(pulumi)
    pulumi.record(STACK)
    unchanged = preview(pulumi)
    assert (unchanged.violations, unchanged.changes) == ((), ())

    one_less = preview(pulumi, nodes=["dub-1", "dub-2", "dub-3", "dub-5"])
    assert one_less.violations == ()
    assert {(step.op, step.name) for step in one_less.changes if "Instance" in step.type} == {
        ("delete", "dub-4"),
        ("create", "dub-5"),
    }

    (all_new,) = messages(preview(pulumi, image="ami-1"))["node-turnover"]
    assert "4 of dub's 4 nodes go at once (dub-1 made anew, dub-2 made anew" in all_new

    (too_few,) = messages(preview(pulumi, nodes=["dub-1"]))["node-turnover"]
    assert "3 of dub's 4 nodes go at once (dub-2 deleted, dub-3 deleted, dub-4 deleted)" in too_few

    (all_stopped,) = messages(preview(pulumi, instance_type="c6in.xlarge"))["node-turnover"]
    assert "4 of dub's 4 nodes go at once (dub-1 stopped for another instance" in all_stopped
    assert f"What to do: {BOOK.names['node-turnover'].remedy}" in all_stopped
