"""Events from a real Postgres into a bucket with object lock."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from anycastle.aws import errors
from anycastle.aws.archive import Archive
from anycastle.control import export
from anycastle.control.database import Connection, connect
from anycastle.control.store import events
from anycastle.model.control import AuditBucket
from anycastle.model.status import Event
from tests.support.aws import REGION, Aws
from tests.support.control_plane import make_world
from tests.support.postgres import Postgres, cluster


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with cluster() as made:
        yield made


@pytest.fixture
async def database(postgres: Postgres, tmp_path: Any) -> AsyncIterator[Connection]:
    world = await make_world(postgres, tmp_path)
    async with await connect(world.spec.database) as connection:
        yield connection


@pytest.fixture
def bucket(account: Aws) -> AuditBucket:
    key = account.setup("kms").create_key()["KeyMetadata"]["Arn"]
    account.setup("s3").create_bucket(
        Bucket="audit",
        ObjectLockEnabledForBucket=True,
        CreateBucketConfiguration={"LocationConstraint": REGION},
    )
    return AuditBucket(name="audit", region=REGION, kms_key=key, retention_days=30)


def objects(account: Aws) -> dict[str, list[dict[str, Any]]]:
    s3 = account.setup("s3")
    names = [entry["Key"] for entry in s3.list_objects_v2(Bucket="audit").get("Contents", [])]
    bodies = {name: s3.get_object(Bucket="audit", Key=name)["Body"].read() for name in names}
    return {name: [json.loads(line) for line in body.splitlines()] for name, body in bodies.items()}


async def record(database: Connection, count: int, start: int = 0) -> None:
    async with database.transaction():
        await events.record(
            database,
            "alice",
            [
                Event(kind="client.added", at=1.7e9 + n, message=f"m{n}")
                for n in range(start, count)
            ],
        )


async def run(database: Connection, archive: export.Archive) -> int:
    said: list[str] = []
    return await export.export(database, archive, "lab", timedelta(days=30), said.append)


async def test_every_event_once_in_order(
    account: Aws, bucket: AuditBucket, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "OBJECT_EVENTS", 4)
    archive = Archive(bucket, account.client)
    archive.check()
    await record(database, 10)
    assert await run(database, archive) == 10
    assert await run(database, archive) == 0
    await record(database, 12, start=10)
    assert await run(database, archive) == 2
    stored = objects(account)
    assert [len(rows) for _, rows in sorted(stored.items())] == [4, 4, 2, 2]
    everything = [row for _, rows in sorted(stored.items()) for row in rows]
    assert [row["message"] for row in everything] == [f"m{n}" for n in range(12)]
    assert everything[0]["actor"] == "alice"
    assert all(name.startswith("events/lab/2023/11/14/0000") for name in stored)


async def test_objects_are_locked_and_encrypted(
    account: Aws, bucket: AuditBucket, database: Connection
) -> None:
    await record(database, 1)
    await run(database, Archive(bucket, account.client))
    (name,) = objects(account)
    head = account.setup("s3").head_object(Bucket="audit", Key=name)
    assert head["ObjectLockMode"] == "COMPLIANCE"
    left = head["ObjectLockRetainUntilDate"] - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", bucket.kms_key)


class DiesAfter:
    """Stores, and then fails, as a process that is killed before its commit."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def put(self, name: str, body: bytes, until: datetime) -> None:
        self._archive.put(name, body, until)
        raise errors.Unreachable("killed")


async def test_a_run_that_dies_loses_nothing(
    account: Aws, bucket: AuditBucket, database: Connection
) -> None:
    archive = Archive(bucket, account.client)
    await record(database, 3)
    with pytest.raises(errors.Unreachable):
        await run(database, DiesAfter(archive))
    await record(database, 5, start=3)
    assert await run(database, archive) == 5
    ids = [row["message"] for rows in objects(account).values() for row in rows]
    assert set(ids) == {f"m{n}" for n in range(5)}


async def test_what_is_not_exported_is_not_deleted(
    account: Aws, bucket: AuditBucket, database: Connection
) -> None:
    await record(database, 3)
    await run(database, Archive(bucket, account.client))
    await record(database, 5, start=3)
    await database.execute("UPDATE event SET stored_at = now() - interval '400 days'")
    assert await events.delete_old(database, 365, exported=True) == 3
    assert await events.delete_old(database, 365, exported=False) == 2


def test_no_such_bucket(account: Aws, bucket: AuditBucket) -> None:
    archive = Archive(
        AuditBucket(name="none", region=REGION, kms_key=bucket.kms_key), account.client
    )
    with pytest.raises(errors.Absent, match="NoSuchBucket"):
        archive.check()
    with pytest.raises(errors.Absent, match="write s3://none/x in eu-west-1: NoSuchBucket"):
        archive.put("x", b"", datetime.now(UTC) + timedelta(days=1))


def test_a_bucket_without_lock_holds_no_audit_trail(account: Aws, bucket: AuditBucket) -> None:
    account.setup("s3").create_bucket(
        Bucket="plain", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    plain = AuditBucket(name="plain", region=REGION, kms_key=bucket.kms_key)
    with pytest.raises(errors.AwsError, match="plain"):
        Archive(plain, account.client).check()


def test_a_key_that_was_switched_off(account: Aws, bucket: AuditBucket) -> None:
    account.setup("kms").disable_key(KeyId=bucket.kms_key.rpartition("/")[2])
    with pytest.raises(errors.Refused, match="its state is Disabled"):
        Archive(bucket, account.client).check()


def test_no_such_key(account: Aws, bucket: AuditBucket) -> None:
    wrong = bucket.kms_key[:-4] + "0000"
    archive = Archive(AuditBucket(name="audit", region=REGION, kms_key=wrong), account.client)
    with pytest.raises(errors.Absent, match="NotFoundException"):
        archive.check()
