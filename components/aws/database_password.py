"""The database's password: made once, and again only when its resource is replaced on purpose.

The state holds a pickle of the provider, which is a reference to its class here: keep this
module's imports few.
"""

from __future__ import annotations

import secrets
from typing import Any

import pulumi
from pulumi.dynamic import CreateResult, DiffResult, Resource, ResourceProvider


class _PasswordProvider(ResourceProvider):
    def create(self, _props: dict[str, Any]) -> CreateResult:
        return CreateResult("database-password", {"secret": secrets.token_urlsafe(32)})

    def diff(self, _id: str, _olds: dict[str, Any], _news: dict[str, Any]) -> DiffResult:
        return DiffResult(changes=False)


class DatabasePassword(Resource, module="anycastle", name="DatabasePassword"):
    """secret: 256 bits as URL-safe text, which RDS and libpq's password file take as it is."""

    secret: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        hidden = pulumi.ResourceOptions(additional_secret_outputs=["secret"])
        super().__init__(
            _PasswordProvider(), name, {"secret": None}, pulumi.ResourceOptions.merge(opts, hidden)
        )
