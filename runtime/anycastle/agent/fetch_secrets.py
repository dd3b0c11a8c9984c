"""`anycastle-agent fetch-secrets`: the node's secrets from the store that its spec names.

A node in AWS is given no secret by bootstrap: its instance profile may read the service
key and the join token of this node from Secrets Manager, and nothing else. What comes is
checked and written to the files that the agent reads, so all after it is the same
everywhere. A node that is enrolled needs no join token any more.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from anycastle.agent import settings
from anycastle.agent.settings import SettingsError
from anycastle.model.codec import Key
from anycastle.model.node import AwsSecrets

Read = Callable[[str], str]
"""Text of a secret by its ARN; raises AwsError."""


def command(
    directory: Path, state: Path, given: tuple[str | None, str | None] = (None, None)
) -> int:
    """The command line's side. Raises SettingsError.

    given: ARNs of service key and join token, for bootstrap, which needs the secrets
    before it writes the node spec.
    """
    service_key, join_token = given
    secrets = (
        AwsSecrets(service_key=service_key, join_token=join_token)
        if service_key and join_token
        else settings.node_spec(directory).secrets
    )
    if secrets is None:
        print("the node spec names no store; bootstrap writes this node's secrets itself")
        return 0
    # Here, because boto3 is installed where it is needed only.
    from anycastle.aws.errors import AwsError  # noqa: PLC0415
    from anycastle.aws.secrets import read_secret  # noqa: PLC0415

    try:
        enrolled = (state / "identity.pem").exists()
        written = fetch(secrets, directory, read_secret, enrolled=enrolled)
    except AwsError as error:
        print(f"anycastle-agent: {error}", file=sys.stderr)
        return 1
    for path in written:
        print(f"wrote {path}")
    return 0


def fetch(secrets: AwsSecrets, directory: Path, read: Read, *, enrolled: bool) -> list[Path]:
    """Write what differs; the files written. Raises SettingsError, and what `read` raises."""
    written = _put(directory / "service.key", _service_key(secrets.service_key, read))
    if not enrolled:
        written += _put(directory / "join.token", _join_token(secrets.join_token, read))
    return written


def _service_key(arn: str, read: Read) -> str:
    text = read(arn).strip()
    try:
        return Key.from_text(text).text
    except ValueError as error:
        raise SettingsError(
            f"secret {arn}: not a WireGuard private key: {error}; the stack wrote it"
        ) from None


def _join_token(arn: str, read: Read) -> str:
    text = read(arn).strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise SettingsError(f"secret {arn}: not a join token; the stack wrote it")
    return text


def _put(path: Path, text: str) -> list[Path]:
    """Write a private file, at once, when it says something else."""
    content = f"{text}\n".encode()
    if path.exists() and path.read_bytes() == content:
        return []
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    draft.replace(path)
    return [path]
