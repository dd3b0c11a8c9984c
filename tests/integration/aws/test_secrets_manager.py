"""Reading secrets over HTTP, and every way in which that fails."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from anycastle.agent import fetch_secrets
from anycastle.agent.settings import SettingsError
from anycastle.aws import errors
from anycastle.aws.client import ATTEMPTS
from anycastle.aws.secrets import read_secret
from anycastle.model.codec import Key
from anycastle.model.node import AwsSecrets
from tests.support.aws import REGION, Aws, refusing

KEY = Key(bytes(range(32))).text
ABSENT = f"arn:aws:secretsmanager:{REGION}:123456789012:secret:anycastle/none-AbCdEf"


def make(account: Aws, name: str, text: str, region: str = REGION) -> str:
    arn: str = account.setup("secretsmanager", region).create_secret(Name=name, SecretString=text)[
        "ARN"
    ]
    return arn


def reader(account: Aws) -> fetch_secrets.Read:
    return partial(read_secret, make_client=account.client)


def test_the_newest_text_of_a_secret(account: Aws) -> None:
    arn = make(account, "anycastle/key", "old")
    account.setup("secretsmanager").put_secret_value(SecretId=arn, SecretString=KEY)
    assert read_secret(arn, account.client) == KEY


def test_the_region_is_that_of_the_arn(account: Aws) -> None:
    arn = make(account, "anycastle/key", "there", region="us-east-1")
    assert read_secret(arn, account.client) == "there"
    elsewhere = arn.replace("us-east-1", REGION)
    with pytest.raises(errors.Absent, match=rf"read secret {elsewhere} in {REGION}: Resource"):
        read_secret(elsewhere, account.client)


def test_absent(account: Aws) -> None:
    with pytest.raises(errors.Absent, match="there is none; `pulumi up` the stack"):
        read_secret(ABSENT, account.client)


def test_no_text(account: Aws) -> None:
    made = account.setup("secretsmanager").create_secret(Name="binary", SecretBinary=b"\x00\x01")
    with pytest.raises(errors.Refused, match="it holds no text"):
        read_secret(made["ARN"], account.client)


@pytest.mark.parametrize(
    ("arn", "said"),
    [("anycastle/key", "is no ARN"), ("arn:aws:kms:eu-west-1:1:key/x", "is no ARN of secretsm")],
)
def test_not_an_arn(account: Aws, arn: str, said: str) -> None:
    with pytest.raises(errors.AwsError, match=said):
        read_secret(arn, account.client)


@pytest.fixture
def powerless(account: Aws, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A secret, and an account that from now on asks who is calling: a user without policy."""
    arn = make(account, "anycastle/key", KEY)
    iam = account.setup("iam")
    iam.create_user(UserName="node")
    key = iam.create_access_key(UserName="node")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])
    account.tell("reset-auth", "0")
    yield arn
    account.tell("reset-auth", str(10**9))


def test_missing_permission(account: Aws, powerless: str) -> None:
    with pytest.raises(errors.NotAllowed, match="the host's role may not do this") as raised:
        read_secret(powerless, account.client)
    assert KEY not in str(raised.value)


def test_unknown_credentials() -> None:
    with (
        refusing("InvalidClientTokenId", 403) as server,
        pytest.raises(errors.NotAllowed, match="AWS does not know these credentials"),
    ):
        read_secret(ABSENT, server.client)


def test_no_credentials(account: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(errors.NoCredentials, match="it needs the instance profile"):
        read_secret(ABSENT, account.client)


def test_ended_credentials() -> None:
    with (
        refusing("ExpiredTokenException") as server,
        pytest.raises(errors.Expired, match="this host's credentials have ended"),
    ):
        read_secret(ABSENT, server.client)
    assert len(server.asked) == 1  # asking again would not help


def test_throttling_is_retried_then_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)  # botocore's growing pauses
    with (
        refusing("ThrottlingException") as server,
        pytest.raises(errors.Throttled, match="AWS asked us to slow down and went on asking"),
    ):
        read_secret(ABSENT, server.client)
    assert len(server.asked) == ATTEMPTS


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    with refusing("none") as server:
        gone = server.client
    with pytest.raises(errors.Unreachable, match="a private subnet needs the service's endpoint"):
        read_secret(ABSENT, gone)


def test_fetch_writes_what_the_agent_reads(account: Aws, tmp_path: Path) -> None:
    secrets = AwsSecrets(
        service_key=make(account, "key", f"{KEY}\n"), join_token=make(account, "join", "join-abc")
    )
    written = fetch_secrets.fetch(secrets, tmp_path, reader(account), enrolled=False)
    assert {path.name: path.read_text() for path in written} == {
        "service.key": f"{KEY}\n",
        "join.token": "join-abc\n",
    }
    assert {stat.S_IMODE(path.stat().st_mode) for path in written} == {0o600}
    assert fetch_secrets.fetch(secrets, tmp_path, reader(account), enrolled=False) == []


def test_an_enrolled_node_needs_no_join_token(account: Aws, tmp_path: Path) -> None:
    secrets = AwsSecrets(service_key=make(account, "key", KEY), join_token=ABSENT)
    written = fetch_secrets.fetch(secrets, tmp_path, reader(account), enrolled=True)
    assert [path.name for path in written] == ["service.key"]


@pytest.mark.parametrize("text", ["short", "not base64 !", KEY[:-4]])
def test_a_wrong_key_is_not_written(account: Aws, tmp_path: Path, text: str) -> None:
    (tmp_path / "service.key").write_text("as it was")
    secrets = AwsSecrets(service_key=make(account, "key", text), join_token=ABSENT)
    with pytest.raises(SettingsError, match="not a WireGuard private key") as raised:
        fetch_secrets.fetch(secrets, tmp_path, reader(account), enrolled=True)
    assert text not in str(raised.value).replace(secrets.service_key, "")
    assert (tmp_path / "service.key").read_text() == "as it was"


def test_two_tokens_are_no_token(account: Aws, tmp_path: Path) -> None:
    secrets = AwsSecrets(
        service_key=make(account, "key", KEY), join_token=make(account, "join", json.dumps([1, 2]))
    )
    with pytest.raises(SettingsError, match="not a join token"):
        fetch_secrets.fetch(secrets, tmp_path, reader(account), enrolled=False)
