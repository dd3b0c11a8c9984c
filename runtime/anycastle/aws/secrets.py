"""Reads secrets from AWS Secrets Manager."""

from __future__ import annotations

from anycastle.aws.client import Clients, client, explained, region_of
from anycastle.aws.errors import Refused


def read_secret(arn: str, make_client: Clients = client) -> str:
    """The current text of a secret. Raises AwsError.

    The region is the ARN's, so a secret of another region is not taken for an absent one.
    """
    region = region_of(arn, "secretsmanager")
    with explained("read secret", arn, region):
        answer = make_client("secretsmanager", region).get_secret_value(SecretId=arn)
    text = answer.get("SecretString")
    if not text:
        raise Refused(f"read secret {arn} in {region}: it holds no text; write it as SecretString")
    return str(text)
