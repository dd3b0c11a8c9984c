"""Enrolled devices and their credentials."""

from __future__ import annotations

import msgspec

from anycastle.model.addresses import Address
from anycastle.model.codec import Key


class Credential(msgspec.Struct, frozen=True, kw_only=True):
    """A client's public key with its pre-shared key: the unit of rotation.

    id: stable name of the credential.
    not_after: epoch seconds after which nodes no longer accept it; None: no end.
    """

    id: str
    public_key: Key
    preshared_key: Key | None = None
    not_after: float | None = None


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """One device. addresses: one IPv4 and one IPv6 address out of the pools."""

    id: str
    name: str
    addresses: tuple[Address, ...]
    credentials: tuple[Credential, ...]
