"""Data at rest, and the keys that encrypt it."""

from __future__ import annotations

from collections.abc import Iterator

from policy.checks.database import DATABASE
from policy.rule import Finding, Resource, ResourceRule, Severity, Stack, StackRule, Unknowns
from policy.settings import Settings
from policy.values import each, look, yes

KEY = "aws:kms/key:Key"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
SECRET = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type
BUCKET = "aws:s3/bucket:Bucket"
BUCKET_ENCRYPTION = (
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration"
)
UNKEYED = {
    LOG_GROUP: "the log group is encrypted by no key of ours",
    SECRET: "the secret is encrypted by the account's shared key",
}


def at_rest(resource: Resource, _: Settings) -> Iterator[str]:
    if resource.type == DATABASE:
        if not yes(resource.props, "storageEncrypted"):
            yield "the database's storage is not encrypted"
    elif resource.props.get("kmsKeyId") is None:  # which key it is may be unknown yet
        yield UNKEYED[resource.type]


def buckets(stack: Stack, _: Settings) -> Iterator[Finding]:
    """A bucket's encryption is a resource beside it."""
    encrypted = {
        urn
        for beside in stack.of_type(BUCKET_ENCRYPTION)
        if all(by_kms(rule) for rule in each(beside.props, "rules"))
        for urn in beside.dependencies
    }
    for bucket in stack.of_type(BUCKET):
        if bucket.urn not in encrypted:
            yield Finding("the bucket has no encryption by a KMS key", bucket)


def by_kms(rule: object) -> bool:
    return str(look(rule, "applyServerSideEncryptionByDefault.sseAlgorithm")).startswith("aws:kms")


def rotation(resource: Resource, _: Settings) -> Iterator[str]:
    spec = look(resource.props, "customerMasterKeySpec", "SYMMETRIC_DEFAULT")
    if spec != "SYMMETRIC_DEFAULT":
        return  # AWS rotates symmetric keys only
    if not yes(resource.props, "enableKeyRotation"):
        yield "the key is not rotated"


RULES = (
    ResourceRule(
        name="encrypted-at-rest",
        promise="Database, logs and secrets are encrypted by our own keys",
        remedy="set storage_encrypted=True on the database, kms_key_id on the others",
        severity=Severity.HIGH,
        unknowns=Unknowns.REFUSE,
        types=frozenset({DATABASE, LOG_GROUP, SECRET}),
        check=at_rest,
    ),
    StackRule(
        name="buckets-encrypted",
        promise="Every bucket is encrypted by a KMS key",
        remedy="give the bucket a BucketServerSideEncryptionConfiguration with aws:kms",
        severity=Severity.HIGH,
        check=buckets,
    ),
    ResourceRule(
        name="kms-rotation",
        promise="Every KMS key is rotated",
        remedy="set enable_key_rotation=True",
        severity=Severity.MEDIUM,
        unknowns=Unknowns.REFUSE,
        types=frozenset({KEY}),
        check=rotation,
    ),
)
