"""The bucket of the audit trail: what is in it can be read, and neither changed nor removed.

Object lock holds every version of every object for the retention that the settings say, and
the exporter (`anycastle-control export-events`) asks for the same with each object.
"""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from anycastle.model.aws import Audit
from components.aws import documents, plan
from components.aws.regional import Regional, child

COLD_AFTER = 90
"""Days after which objects go to storage that is cheap to keep and dear to read."""
ABANDONED_AFTER = 7
"""Days after which half an upload is removed."""


@dataclass(frozen=True, kw_only=True)
class AuditArgs:
    """key: ARN of the KMS key."""

    regional: Regional
    settings: Audit
    key: pulumi.Input[str]


class AuditTrail(pulumi.ComponentResource):
    """bucket: its name. ready: what depends on all its guards."""

    bucket: str
    ready: list[pulumi.Resource]

    def __init__(
        self, name: str, args: AuditArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("anycastle:aws:AuditTrail", name, None, opts)
        self._name, self._args = name, args
        regional = args.regional
        self.bucket = plan.bucket_name(regional.deployment, regional.settings.account)
        made = aws.s3.Bucket(
            name,
            bucket=self.bucket,
            object_lock_enabled=True,
            force_destroy=False,
            tags=regional.tags(name),
            opts=child(self, protect=True),
        )
        versions = aws.s3.BucketVersioning(
            f"{name}/versions",
            bucket=made.id,
            versioning_configuration={"status": "Enabled"},
            opts=child(self),
        )
        self.ready = [
            self._lock(made, versions),
            self._encryption(made),
            *self._private(made),
        ]
        self._lifecycle(made, versions)
        self.register_outputs({"bucket": self.bucket})

    def _lock(self, bucket: aws.s3.Bucket, versions: pulumi.Resource) -> pulumi.Resource:
        settings = self._args.settings
        lock: pulumi.Resource = aws.s3.BucketObjectLockConfiguration(
            f"{self._name}/lock",
            bucket=bucket.id,
            rule={
                "default_retention": {
                    "mode": settings.mode.value,
                    "days": settings.retention_days,
                }
            },
            opts=child(self, depends_on=[versions]),
        )
        return lock

    def _encryption(self, bucket: aws.s3.Bucket) -> pulumi.Resource:
        encryption: pulumi.Resource = aws.s3.BucketServerSideEncryptionConfiguration(
            f"{self._name}/encryption",
            bucket=bucket.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": self._args.key,
                    },
                    # One call to KMS for many objects.
                    "bucket_key_enabled": True,
                }
            ],
            opts=child(self),
        )
        return encryption

    def _private(self, bucket: aws.s3.Bucket) -> list[pulumi.Resource]:
        """One after another: S3 refuses changes of these that meet."""
        owner = aws.s3.BucketOwnershipControls(
            f"{self._name}/owner",
            bucket=bucket.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=child(self),
        )
        block = aws.s3.BucketPublicAccessBlock(
            f"{self._name}/private",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child(self, depends_on=[owner]),
        )
        policy = aws.s3.BucketPolicy(
            f"{self._name}/tls",
            bucket=bucket.id,
            policy=documents.bucket_policy(self.bucket),
            opts=child(self, depends_on=[block]),
        )
        return [block, policy]

    def _lifecycle(self, bucket: aws.s3.Bucket, versions: pulumi.Resource) -> None:
        """Nothing expires: when the lock has run out is not when the trail is of no use."""
        aws.s3.BucketLifecycleConfiguration(
            f"{self._name}/lifecycle",
            bucket=bucket.id,
            rules=[
                {
                    "id": "cold",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "transitions": [{"days": COLD_AFTER, "storage_class": "GLACIER_IR"}],
                    "abort_incomplete_multipart_upload": {"days_after_initiation": ABANDONED_AFTER},
                }
            ],
            opts=child(self, depends_on=[versions]),
        )
