"""SSH key pairs that the deployment makes: one to log in with, one for each host to be known by.

As in `components.secrets`: made once, kept in the stack's state as secrets. Keep this
module's imports few, because the state holds references to its classes.
"""

from __future__ import annotations

from typing import Any

import pulumi
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider


def key_pair() -> tuple[str, str]:
    """(private key in OpenSSH's format, public key as `ssh-ed25519 AAAA…`)."""
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.OpenSSH,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    )
    return private.decode(), public.decode()


class _KeyProvider(ResourceProvider):
    """Nothing but its removal changes a key."""

    def create(self, _props: dict[str, Any]) -> CreateResult:
        private, public = key_pair()
        return CreateResult(public, {"private_key": private, "public_key": public})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=False)


class SshKey(Resource, module="anycastle", name="SshKey"):
    """A key pair. private_key: a secret. public_key: one line without a comment."""

    private_key: pulumi.Output[str]
    public_key: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["private_key"])
        super().__init__(
            _KeyProvider(),
            name,
            {"private_key": None, "public_key": None},
            pulumi.ResourceOptions.merge(opts, hidden),
        )
