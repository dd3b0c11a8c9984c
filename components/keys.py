"""Keys, certificates and tokens, freshly made. The randomness is the only input from outside."""

from __future__ import annotations

import datetime as dt
import secrets

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from anycastle.model.codec import Key

AUTHORITY_LIFETIME = dt.timedelta(days=3650)
CLOCK_TOLERANCE = dt.timedelta(hours=1)
"""Certificates start this much in the past, for hosts whose clocks are behind."""


def private_key() -> Key:
    """A WireGuard private key, clamped as `wg genkey` does (RFC 7748, section 5)."""
    raw = bytearray(secrets.token_bytes(32))
    raw[0] &= 248
    raw[31] = (raw[31] & 127) | 64
    return Key(bytes(raw))


def public_key(private: Key) -> Key:
    """The public half of a WireGuard key."""
    return Key(X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw())


def preshared_key() -> Key:
    return Key(secrets.token_bytes(32))


def operator_token() -> str:
    """256 bits as URL-safe text."""
    return secrets.token_urlsafe(32)


def certificate_authority(deployment: str, now: dt.datetime) -> tuple[str, str]:
    """(certificate, private key) of a deployment's own CA, both PEM (RFC 5280, P-256).

    It signs the certificates of nodes and of the API, and no other CA.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, deployment),
            x509.NameAttribute(x509.NameOID.COMMON_NAME, f"{deployment} deployment CA"),
        ]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_TOLERANCE)
        .not_valid_after(now + AUTHORITY_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_authority_usage(), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


def _authority_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
