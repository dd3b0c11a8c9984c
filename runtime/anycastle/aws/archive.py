"""Writes records to S3 so that nobody can change or remove them for a time (object lock)."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime

from anycastle.aws.client import Clients, client, explained
from anycastle.aws.errors import Refused
from anycastle.model.control import AuditBucket


class Archive:
    """One bucket. Its default encryption and lock are the stack's; both are asked for again
    with every object, so that a bucket without them refuses instead of forgetting."""

    def __init__(self, bucket: AuditBucket, make_client: Clients = client) -> None:
        self._bucket = bucket
        self._s3 = make_client("s3", bucket.region)
        self._kms = make_client("kms", bucket.region)

    def check(self) -> None:
        """Is all there that `put` needs? Raises AwsError."""
        bucket = self._bucket
        with explained("use key", bucket.kms_key, bucket.region):
            state = self._kms.describe_key(KeyId=bucket.kms_key)["KeyMetadata"]["KeyState"]
        if state != "Enabled":
            raise Refused(f"use key {bucket.kms_key} in {bucket.region}: its state is {state}")
        with explained("read the object lock of", bucket.name, bucket.region):
            lock = self._s3.get_object_lock_configuration(Bucket=bucket.name)
        if lock["ObjectLockConfiguration"].get("ObjectLockEnabled") != "Enabled":
            raise Refused(f"bucket {bucket.name}: object lock is off; it can't hold an audit trail")

    def put(self, name: str, body: bytes, until: datetime) -> None:
        """Store an object that can't be changed before `until`. Raises AwsError.

        Storing the same name again adds a version; the first stays what it was.
        """
        bucket = self._bucket
        with explained("write", f"s3://{bucket.name}/{name}", bucket.region):
            self._s3.put_object(
                Bucket=bucket.name,
                Key=name,
                Body=body,
                ContentType="application/x-ndjson",
                ContentMD5=base64.b64encode(
                    hashlib.md5(body, usedforsecurity=False).digest()
                ).decode(),
                ServerSideEncryption="aws:kms",
                SSEKMSKeyId=bucket.kms_key,
                ObjectLockMode=bucket.mode.value,
                ObjectLockRetainUntilDate=until,
            )
