"""WireGuard keys, made on the operator's machine.

A private key leaves this module only as text for the client's own file.
"""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from anycastle.model.codec import Key


def new_private_key() -> Key:
    """A clamped X25519 private key (RFC 7748, section 5), as `wg genkey` makes them."""
    raw = bytearray(secrets.token_bytes(32))
    raw[0] &= 248
    raw[31] = (raw[31] & 127) | 64
    return Key(bytes(raw))


def public_key(private: Key) -> Key:
    return Key(X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())


def new_preshared_key() -> Key:
    return Key(secrets.token_bytes(32))
