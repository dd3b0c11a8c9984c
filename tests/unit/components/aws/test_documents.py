"""Policy documents: who may do what, and that nobody may more."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.aws import documents

ACCOUNT, REGION = "123456789012", "eu-west-1"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/mrk-1"


def statements(text: str) -> list[dict[str, Any]]:
    document = json.loads(text)
    assert document["Version"] == "2012-10-17"
    found: list[dict[str, Any]] = document["Statement"]
    return found


def test_a_node_reads_three_secrets_and_nothing_else() -> None:
    prefix = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:anycastle/prod"
    assert statements(documents.node_policy("prod", ACCOUNT, REGION, "dub-1")) == [
        {
            "Sid": "OwnSecrets",
            "Effect": "Allow",
            "Action": ["secretsmanager:GetSecretValue"],
            "Resource": [
                f"{prefix}/service-key-??????",
                f"{prefix}/nodes/dub-1/join-token-??????",
                f"{prefix}/hosts/dub-1/host-key-??????",
            ],
        }
    ]


def test_no_node_reads_anothers() -> None:
    text = documents.node_policy("prod", ACCOUNT, REGION, "dub-1")
    assert "dub-1/" in text
    assert "dub-2" not in text


def test_an_api_host_adds_to_the_audit_trail_and_takes_nothing_away() -> None:
    text = documents.control_policy("prod", ACCOUNT, REGION, "api-1", KEY)
    actions = {action for one in statements(text) for action in one["Action"]}
    assert "s3:PutObject" in actions
    assert not {action for action in actions if "Delete" in action or "Bypass" in action}
    assert not {action for action in actions if action.startswith("s3:Put") and "Bucket" in action}


@pytest.mark.parametrize(
    "text",
    [
        documents.node_policy("prod", ACCOUNT, REGION, "dub-1"),
        documents.control_policy("prod", ACCOUNT, REGION, "api-1", KEY),
        documents.flow_log_policy(f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:x"),
    ],
)
def test_no_role_has_a_wildcard_for_action_or_resource(text: str) -> None:
    for statement in statements(text):
        assert not [action for action in statement["Action"] if "*" in action]
        assert "*" not in statement["Resource"]
        # A star stands for what is inside of one named thing, and for nothing before it.
        assert not [name for name in statement["Resource"] if "*" in name.rstrip("*")]


def test_a_key_serves_this_account_through_services_alone() -> None:
    by_name = {one["Sid"]: one for one in statements(documents.key_policy(ACCOUNT, REGION))}
    used = by_name["ThroughServices"]
    assert used["Condition"]["StringEquals"] == {"kms:CallerAccount": ACCOUNT}
    assert "kms:ViaService" in used["Condition"]["StringLike"]
    administration = by_name["Administer"]
    assert administration["Principal"] == {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}
    assert not {"kms:Decrypt", "kms:Encrypt"} & set(administration["Action"])


def test_a_bucket_refuses_what_is_not_tls() -> None:
    (statement,) = statements(documents.bucket_policy("audit"))
    assert statement["Effect"] == "Deny"
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    assert statement["Resource"] == ["arn:aws:s3:::audit", "arn:aws:s3:::audit/*"]


def test_a_role_is_taken_by_its_service() -> None:
    (statement,) = statements(documents.trust("ec2.amazonaws.com"))
    assert statement["Principal"] == {"Service": "ec2.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole"]
    assert "Resource" not in statement
