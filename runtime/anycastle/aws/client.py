"""boto3 clients with our patience, and ARNs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

import boto3
from botocore import exceptions as boto
from botocore.config import Config

from anycastle.aws.errors import Attempt, AwsError, explain

ATTEMPTS = 5
"""Tries of one call, with growing pauses (botocore's standard mode)."""
CONNECT_TIMEOUT, READ_TIMEOUT = 3.0, 10.0
"""Seconds."""


class Clients(Protocol):
    """Makes a client of a service in a region; tests pass their own."""

    def __call__(self, service: str, region: str) -> Any: ...


def client(service: str, region: str, endpoint_url: str | None = None) -> Any:
    """A boto3 client. Credentials come from the host (instance profile or environment)."""
    config = Config(
        connect_timeout=CONNECT_TIMEOUT,
        read_timeout=READ_TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        user_agent_extra="anycastle",
    )
    # A session of its own: boto3's common one would keep the first credentials it found.
    session = boto3.session.Session(region_name=region)
    return session.client(service, config=config, endpoint_url=endpoint_url)


@contextmanager
def explained(doing: str, resource: str, region: str) -> Iterator[None]:
    """Turn what botocore raises inside into AwsErrors."""
    try:
        yield
    except (boto.BotoCoreError, boto.ClientError) as error:
        raise explain(error, Attempt(doing, resource, region)) from error


def region_of(arn: str, service: str) -> str:
    """The region in `arn:aws:SERVICE:REGION:ACCOUNT:…`. Raises AwsError."""
    parts = arn.split(":", 5)
    if len(parts) != 6 or parts[0] != "arn" or parts[2] != service or not parts[3]:
        raise AwsError(
            f"{arn!r} is no ARN of {service} (arn:aws:{service}:REGION:ACCOUNT:…): "
            "bootstrap wrote it, so the fault lies in the stack"
        )
    return parts[3]
