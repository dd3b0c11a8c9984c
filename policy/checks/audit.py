"""The audit trail, and whatever else must not get lost."""

from __future__ import annotations

from collections.abc import Iterator

from policy.checks.database import DATABASE
from policy.checks.encryption import BUCKET, KEY, SECRET
from policy.rule import Finding, Resource, Severity, Stack, StackRule
from policy.settings import Settings, matches
from policy.values import look, yes

LOCK = "aws:s3/bucketObjectLockConfiguration:BucketObjectLockConfiguration"
VERSIONING = "aws:s3/bucketVersioning:BucketVersioning"
ACCESS_BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
SWITCHES = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
DATA = (DATABASE, BUCKET, KEY, SECRET)


def beside(stack: Stack, bucket: Resource, kind: str) -> Resource | None:
    """The resource of a kind that belongs to a bucket."""
    return next((item for item in stack.of_type(kind) if bucket.urn in item.dependencies), None)


def locked(stack: Stack, settings: Settings) -> Iterator[Finding]:
    for bucket in stack.of_type(BUCKET):
        if matches(bucket.name, settings.audit_buckets):
            yield from (Finding(fault, bucket) for fault in lock_faults(stack, bucket))


def lock_faults(stack: Stack, bucket: Resource) -> Iterator[str]:
    if not yes(bucket.props, "objectLockEnabled"):
        yield "objects of the audit trail can be deleted: the bucket has no object lock"
    lock, versions = beside(stack, bucket, LOCK), beside(stack, bucket, VERSIONING)
    if lock is None or look(lock.props, "rule.defaultRetention.mode") is None:
        yield "objects of the audit trail are kept for no set time"
    if versions is None or look(versions.props, "versioningConfiguration.status") != "Enabled":
        yield "objects of the audit trail can be overwritten: the bucket has no versions"


def private(stack: Stack, _: Settings) -> Iterator[Finding]:
    for bucket in stack.of_type(BUCKET):
        block = beside(stack, bucket, ACCESS_BLOCK)
        if block is None or not all(yes(block.props, switch) for switch in SWITCHES):
            yield Finding("the bucket may be made public", bucket)


def kept(stack: Stack, settings: Settings) -> Iterator[Finding]:
    if settings.is_rehearsal(stack.name):
        return
    for resource in stack.of_type(*DATA):
        if not resource.protected and not made_anew(resource):
            yield Finding("it holds data, and a change could delete it", resource)


def made_anew(resource: Resource) -> bool:
    """Is it a secret that its owner makes anew at will, e.g. a host's key or a join token?

    One that is gone at once when it is deleted says so by its recovery window.
    """
    if resource.type != SECRET or "recoveryWindowInDays" not in resource.props:
        return False
    return bool(look(resource.props, "recoveryWindowInDays") == 0)


RULES = (
    StackRule(
        name="audit-locked",
        promise="Nobody can change or delete the audit trail",
        remedy="give the bucket object lock with a default retention, and versioning",
        severity=Severity.CRITICAL,
        check=locked,
    ),
    StackRule(
        name="buckets-private",
        promise="No bucket can be made public",
        remedy="give it a BucketPublicAccessBlock with all four switches on",
        severity=Severity.HIGH,
        check=private,
    ),
    StackRule(
        name="data-protected",
        promise="What holds data is protected from deletion by Pulumi",
        remedy="create it with ResourceOptions(protect=True)",
        severity=Severity.HIGH,
        check=kept,
    ),
)
