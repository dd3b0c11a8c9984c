"""The identity file: a P-256 key and, once the node has joined, its certificate.

One PEM file, mode 0600, so that a key and its certificate are always replaced together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

_BEGIN = b"-----BEGIN CERTIFICATE-----"


class IdentityError(Exception):
    """The node can't prove who it is; the message says what is missing."""


@dataclass(frozen=True)
class Credentials:
    """key, certificate: PEM; certificate empty before the join. Times: epoch seconds."""

    key: bytes
    certificate: str = ""
    not_before: float = 0.0
    not_after: float = 0.0

    @classmethod
    def new(cls) -> Credentials:
        """A new key without a certificate."""
        key = ec.generate_private_key(ec.SECP256R1())
        return cls(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))

    @classmethod
    def load(cls, path: Path) -> Credentials:
        """What the file has; a new key when it is missing or unusable.

        An unusable file is kept beside as PATH.corrupt. Raises OSError.
        """
        try:
            return cls.parse(path.read_bytes())
        except FileNotFoundError:
            return cls.new()
        except IdentityError:
            path.rename(path.with_name(path.name + ".corrupt"))
            return cls.new()

    @classmethod
    def parse(cls, data: bytes) -> Credentials:
        """Raises IdentityError."""
        key, begin, rest = data.partition(_BEGIN)
        try:
            load_pem_private_key(key, password=None)
            without = cls(key)
            return without.with_certificate((begin + rest).decode()) if begin else without
        except (ValueError, TypeError) as error:
            raise IdentityError(f"the identity file is damaged: {error}") from None

    @property
    def pem(self) -> bytes:
        return self.key + self.certificate.encode()

    @property
    def renew_at(self) -> float:
        """At two thirds of the certificate's life: time for many attempts is left."""
        return self.not_before + (self.not_after - self.not_before) * 2 / 3

    def with_certificate(self, pem: str) -> Credentials:
        """Raises ValueError."""
        certificate = x509.load_pem_x509_certificate(pem.encode())
        return replace(
            self,
            certificate=pem,
            not_before=certificate.not_valid_before_utc.timestamp(),
            not_after=certificate.not_valid_after_utc.timestamp(),
        )

    def without_certificate(self) -> Credentials:
        return Credentials(self.key)

    def request(self, node: str, deployment: str) -> str:
        """A certificate request (PKCS #10, PEM) signed by the key."""
        builder = x509.CertificateSigningRequestBuilder().subject_name(
            x509.Name(
                [
                    x509.NameAttribute(NameOID.ORGANIZATION_NAME, deployment),
                    x509.NameAttribute(NameOID.COMMON_NAME, node),
                ]
            )
        )
        key = load_pem_private_key(self.key, password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # we made it
        return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def verify(credentials: Credentials, node: str, deployment: str, ca: bytes) -> None:
    """Is this the certificate of `node`, by this CA, for this key? Raises IdentityError.

    Its end is not looked at: an ended one still serves to renew.
    """
    if not credentials.certificate:
        raise IdentityError("there is no certificate")
    certificate = x509.load_pem_x509_certificate(credentials.certificate.encode())
    key = load_pem_private_key(credentials.key, password=None)
    if key.public_key() != certificate.public_key():
        raise IdentityError("the certificate is not for this node's key")
    found = {attribute.oid: attribute.value for attribute in certificate.subject}
    if found.get(NameOID.COMMON_NAME) != node:
        raise IdentityError(
            f"the certificate is for node {found.get(NameOID.COMMON_NAME)!r}, this is {node!r}"
        )
    if found.get(NameOID.ORGANIZATION_NAME) != deployment:
        raise IdentityError("the certificate is another deployment's")
    try:
        certificate.verify_directly_issued_by(x509.load_pem_x509_certificate(ca))
    except (ValueError, TypeError, InvalidSignature):
        raise IdentityError("the certificate is not by this deployment's CA") from None
