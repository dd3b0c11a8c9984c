"""What S3 and KMS refuse, said so that its reader knows what to do: each call, each cause."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from anycastle.aws import errors
from anycastle.aws.archive import Archive
from anycastle.aws.client import ATTEMPTS
from anycastle.model.control import AuditBucket
from tests.support.aws import REGION, Aws, Refusing, refusing

ELSEWHERE = "us-east-1"
Call = Callable[[Archive], None]


def put(archive: Archive) -> None:
    archive.put("x", b"{}\n", datetime.now(UTC) + timedelta(days=1))


CALLS: dict[str, tuple[str, Call, str]] = {
    "describe_key": ("kms", Archive.check, "use key arn:aws:kms:"),
    "get_object_lock_configuration": ("s3", Archive.check, "read the object lock of audit"),
    "put_object": ("s3", put, "write s3://audit/x"),
}
"""The service that refuses, what calls it, and how the message begins."""


@pytest.fixture
def bucket(account: Aws) -> AuditBucket:
    key = account.setup("kms").create_key()["KeyMetadata"]["Arn"]
    account.setup("s3").create_bucket(
        Bucket="audit",
        ObjectLockEnabledForBucket=True,
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    return AuditBucket(name="audit", region=REGION, kms_key=key, retention_days=30)


def archive_at(account: Aws, server: Refusing, refuses: str, bucket: AuditBucket) -> Archive:
    """With one service that refuses everything."""

    def client(service: str, region: str) -> Any:
        return (server if service == refuses else account).client(service, region)

    return Archive(bucket, client)


def codes(json_code: str, xml_code: str) -> list[Any]:
    """Each call with its service's word for the same cause."""
    return [
        pytest.param(name, json_code if service == "kms" else xml_code, id=name)
        for name, (service, _, _) in CALLS.items()
    ]


@pytest.mark.parametrize(("call", "code"), codes("ThrottlingException", "SlowDown"))
def test_throttling_is_retried_then_told(
    account: Aws, bucket: AuditBucket, call: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # botocore's growing pauses
    service, do, beginning = CALLS[call]
    with refusing(code, 503 if service == "s3" else 400) as server:
        archive = archive_at(account, server, service, bucket)
        with pytest.raises(errors.Throttled, match="and went on asking") as raised:
            do(archive)
    assert str(raised.value).startswith(beginning)
    assert len(server.asked) == ATTEMPTS


@pytest.mark.parametrize(("call", "code"), codes("ExpiredTokenException", "ExpiredToken"))
def test_ended_credentials(account: Aws, bucket: AuditBucket, call: str, code: str) -> None:
    service, do, beginning = CALLS[call]
    with refusing(code) as server:
        archive = archive_at(account, server, service, bucket)
        with pytest.raises(errors.Expired, match="this host's credentials have ended") as raised:
            do(archive)
    assert str(raised.value).startswith(beginning)
    assert len(server.asked) == 1  # asking again would not help


@pytest.mark.parametrize("call", ["get_object_lock_configuration", "put_object"])
def test_a_bucket_in_another_region(account: Aws, bucket: AuditBucket, call: str) -> None:
    service, do, beginning = CALLS[call]
    with refusing("PermanentRedirect", 301) as server:
        archive = archive_at(account, server, service, bucket)
        with pytest.raises(errors.WrongRegion, match="correct the region in the stack") as raised:
            do(archive)
    assert str(raised.value).startswith(beginning)


def test_a_key_in_another_region(account: Aws, bucket: AuditBucket) -> None:
    there = account.setup("kms", ELSEWHERE).create_key()["KeyMetadata"]["KeyId"]
    wrong = f"{bucket.kms_key.rpartition('/')[0]}/{there}"
    elsewhere = AuditBucket(name="audit", region=REGION, kms_key=wrong)
    with pytest.raises(errors.Absent, match="see that region and name in the stack file") as raised:
        Archive(elsewhere, account.client).check()
    assert f"in {REGION}" in str(raised.value)


@pytest.fixture
def only(account: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[list[str]], None]]:
    """From now on the account asks who is calling: somebody who may do these actions alone."""

    def allowed(actions: list[str]) -> None:
        iam = account.setup("iam")
        iam.create_user(UserName="control")
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName="control", PolicyName="p", PolicyDocument=document)
        key = iam.create_access_key(UserName="control")["AccessKey"]
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
        account.tell("reset-auth", "0")

    yield allowed
    account.tell("reset-auth", str(10**9))


@pytest.mark.parametrize(
    ("call", "actions"),
    [
        ("describe_key", ["s3:*"]),
        ("get_object_lock_configuration", ["kms:DescribeKey"]),
        ("put_object", ["kms:DescribeKey", "s3:GetBucketObjectLockConfiguration"]),
    ],
)
def test_missing_permission(
    account: Aws,
    bucket: AuditBucket,
    only: Callable[[list[str]], None],
    call: str,
    actions: list[str],
) -> None:
    only(actions)
    _, do, beginning = CALLS[call]
    with pytest.raises(errors.NotAllowed, match="the host's role may not do this") as raised:
        do(Archive(bucket, account.client))
    assert str(raised.value).startswith(beginning)


@pytest.mark.parametrize(("do", "beginning"), [(Archive.check, "use key"), (put, "write s3://")])
def test_no_credentials(
    account: Aws,
    bucket: AuditBucket,
    do: Call,
    beginning: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(errors.NoCredentials, match="it needs the instance profile") as raised:
        do(Archive(bucket, account.client))
    assert str(raised.value).startswith(beginning)
