"""Policy documents of IAM, KMS and S3, as typed structs. Pure.

No document grants an action or a resource by `*`, except where AWS has no other way to
say it: in a key's own policy the resource is `*` and means the key, and a bucket's
denials are for everybody.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from anycastle.model.codec import to_plain
from components.aws import plan

VERSION = "2012-10-17"
"""Of the policy language; there is no newer one."""

Condition = Mapping[str, Mapping[str, str]]


class Statement(msgspec.Struct, frozen=True, kw_only=True, rename="pascal", omit_defaults=True):
    """One statement. principal: in policies of a resource (key, bucket, role's trust) only."""

    sid: str
    effect: str = "Allow"
    principal: dict[str, str] | None = None
    action: tuple[str, ...]
    resource: tuple[str, ...] = ()
    condition: Condition = {}


def text(*statements: Statement) -> str:
    """A document as JSON, the same for the same statements."""
    return json.dumps({"Version": VERSION, "Statement": [_plain(one) for one in statements]})


def _plain(statement: Statement) -> dict[str, Any]:
    plain: dict[str, Any] = to_plain(statement)
    return plain | {"Effect": statement.effect}


def trust(service: str) -> str:
    """Who may take a role: an AWS service, e.g. `ec2.amazonaws.com`."""
    return text(
        Statement(
            sid="Assume", principal={"Service": service}, action=("sts:AssumeRole",), resource=()
        )
    )


def read_secrets(sid: str, *arns: str) -> Statement:
    return Statement(sid=sid, action=("secretsmanager:GetSecretValue",), resource=arns)


def node_policy(deployment: str, account: str, region: str, node: str) -> str:
    """A node reads the service key, its own join token and its own host key. That is all."""
    names = (
        plan.service_key_name(deployment),
        plan.join_token_name(deployment, node),
        plan.host_key_name(deployment, node),
    )
    return text(
        read_secrets("OwnSecrets", *(plan.secret_arn(account, region, name) for name in names))
    )


def control_policy(deployment: str, account: str, region: str, host: str, key_arn: str) -> str:
    """An API host reads its host key, and adds to the audit trail. It can't delete from it."""
    bucket = f"arn:aws:s3:::{plan.bucket_name(deployment, account)}"
    host_key = plan.secret_arn(account, region, plan.host_key_name(deployment, host))
    return text(
        read_secrets("OwnHostKey", host_key),
        Statement(
            sid="AuditObjects",
            action=("s3:PutObject", "s3:PutObjectRetention", "s3:GetObject"),
            resource=(f"{bucket}/*",),
        ),
        Statement(
            sid="AuditBucket",
            action=("s3:ListBucket", "s3:GetBucketObjectLockConfiguration"),
            resource=(bucket,),
        ),
        Statement(
            sid="AuditKey",
            action=("kms:GenerateDataKey", "kms:Decrypt", "kms:DescribeKey"),
            resource=(key_arn,),
        ),
    )


def flow_log_policy(log_group_arn: str) -> str:
    return text(
        Statement(
            sid="Deliver",
            action=(
                "logs:CreateLogStream",
                "logs:PutLogEvents",
                "logs:DescribeLogStreams",
            ),
            resource=(f"{log_group_arn}:*",),
        )
    )


def key_policy(account: str, region: str) -> str:
    """Of the key in a region. The account's administrators administer it; services of this
    account use it for whoever may use what they encrypted, so a secret's own permissions
    decide who reads it; CloudWatch Logs uses it for this account's log groups alone."""
    return text(
        Statement(
            sid="Administer",
            principal={"AWS": f"arn:aws:iam::{account}:root"},
            action=_KEY_ADMINISTRATION,
            resource=("*",),
        ),
        Statement(
            sid="ThroughServices",
            principal={"AWS": "*"},
            action=(
                "kms:Encrypt",
                "kms:Decrypt",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
                "kms:GenerateDataKey",
                "kms:CreateGrant",
                "kms:DescribeKey",
            ),
            resource=("*",),
            condition={
                "StringEquals": {"kms:CallerAccount": account},
                "StringLike": {"kms:ViaService": "*.amazonaws.com"},
            },
        ),
        Statement(
            sid="Logs",
            principal={"Service": f"logs.{region}.amazonaws.com"},
            action=(
                "kms:Encrypt",
                "kms:Decrypt",
                "kms:ReEncryptFrom",
                "kms:ReEncryptTo",
                "kms:GenerateDataKey",
                "kms:DescribeKey",
            ),
            resource=("*",),
            condition={
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": (
                        f"arn:aws:logs:{region}:{account}:log-group:*"
                    )
                }
            },
        ),
    )


_KEY_ADMINISTRATION = tuple(
    f"kms:{action}"
    for action in (
        "CancelKeyDeletion",
        "CreateAlias",
        "CreateKey",
        "DeleteAlias",
        "DescribeKey",
        "DisableKey",
        "EnableKey",
        "EnableKeyRotation",
        "GetKeyPolicy",
        "GetKeyRotationStatus",
        "ListAliases",
        "ListGrants",
        "ListKeyPolicies",
        "ListResourceTags",
        "PutKeyPolicy",
        "ReplicateKey",
        "ScheduleKeyDeletion",
        "TagResource",
        "UntagResource",
        "UpdateAlias",
        "UpdateKeyDescription",
        "UpdatePrimaryRegion",
    )
)


def bucket_policy(bucket: str) -> str:
    """Nobody speaks to the audit bucket without TLS."""
    arn = f"arn:aws:s3:::{bucket}"
    return text(
        Statement(
            sid="OnlyTls",
            effect="Deny",
            principal={"AWS": "*"},
            action=("s3:*",),
            resource=(arn, f"{arn}/*"),
            condition={"Bool": {"aws:SecureTransport": "false"}},
        )
    )
