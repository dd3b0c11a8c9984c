"""The deployment's certificate authority (RFC 5280 certificates, PKCS #10 requests).

Nodes get short-lived client certificates (CN = node, O = deployment), the API itself a
server certificate. The CA's key is any object with cryptography's private key
interface, so one that lives in an HSM is another way to load it and nothing else.
"""

from __future__ import annotations

import hashlib
import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from anycastle.control.errors import Invalid, Unauthenticated

BACKDATE = timedelta(minutes=5)
"""Clocks differ; a certificate is good a little before it was made."""
SERVER_LIFETIME = timedelta(days=7)
RECOVERY = timedelta(days=90)
"""For so long after its end a certificate still lets its node renew: the control plane
may have been away for longer than a node's certificate lives."""

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class AuthorityError(Exception):
    """The CA's files are not usable; the message says which and why."""


class Issued(NamedTuple):
    """certificate: PEM. key: SHA-256 of the SubjectPublicKeyInfo."""

    certificate: str
    serial: int
    key: bytes
    expires_at: datetime


class Request(NamedTuple):
    """A certificate request whose signature was checked. key: as in Issued."""

    public_key: PublicKey
    key: bytes


def read_request(pem: str) -> Request:
    """Parse and check a CSR. Raises Invalid (field `csr`)."""
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        valid = csr.is_signature_valid
        public_key = csr.public_key()
    except ValueError as error:
        raise Invalid("csr", f"not a PEM certificate request: {error}") from None
    if not valid:
        raise Invalid("csr", "its signature is not by its own key")
    if isinstance(public_key, ed25519.Ed25519PublicKey) or (
        isinstance(public_key, ec.EllipticCurvePublicKey)
        and isinstance(public_key.curve, ec.SECP256R1 | ec.SECP384R1)
    ):
        return Request(public_key, _key_digest(public_key))
    raise Invalid("csr", "its key must be P-256, P-384 or Ed25519")


class Authority:
    """certificate: the CA's. organisation: the deployment, O of every certificate."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: CertificateIssuerPrivateKeyTypes,
        organisation: str,
    ) -> None:
        self.certificate = certificate
        self.organisation = organisation
        self._key = key

    @classmethod
    def load(cls, certificate_file: Path, key_file: Path, organisation: str) -> Authority:
        """Raises AuthorityError."""
        try:
            certificate = x509.load_pem_x509_certificate(certificate_file.read_bytes())
            key = load_pem_private_key(key_file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise AuthorityError(f"{certificate_file}, {key_file}: {error}") from error
        if not isinstance(
            key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
        ):
            raise AuthorityError(f"{key_file}: this kind of key can't sign certificates")
        if key.public_key() != certificate.public_key():
            raise AuthorityError(f"{key_file} is not the key of {certificate_file}")
        return cls(certificate, key, organisation)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    def issue_node(self, request: Request, node: str, lifetime: timedelta) -> Issued:
        """A client certificate for `node`."""
        return self._issue(request.public_key, node, lifetime, ExtendedKeyUsageOID.CLIENT_AUTH, ())

    def issue_server(self, names: tuple[str, ...]) -> tuple[Issued, str]:
        """A server certificate for host names and addresses, and its new key (PEM)."""
        key = ec.generate_private_key(ec.SECP256R1())
        issued = self._issue(
            key.public_key(), names[0], SERVER_LIFETIME, ExtendedKeyUsageOID.SERVER_AUTH, names
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return issued, pem.decode()

    def read_expired(self, pem: str, request: Request, now: datetime) -> tuple[str, int]:
        """(node, serial) of a certificate whose end is not too long ago.

        The request must be signed by the same key: that proves that the caller is the
        node. Raises Invalid or Unauthenticated.
        """
        try:
            certificate = x509.load_pem_x509_certificate(pem.encode())
        except ValueError as error:
            raise Invalid("certificate", f"not a PEM certificate: {error}") from None
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (ValueError, TypeError, InvalidSignature):
            raise Unauthenticated(
                "certificate_foreign", "this certificate is another deployment's", "certificate"
            ) from None
        node, organisation = subject(certificate)
        if organisation != self.organisation or not _is_client(certificate):
            raise Unauthenticated(
                "certificate_foreign", "this certificate is not a node's of this deployment"
            )
        if now > certificate.not_valid_after_utc + RECOVERY:
            raise Unauthenticated(
                "certificate_too_old",
                f"this certificate ended more than {RECOVERY.days} days ago: the node needs a"
                " new join token",
            )
        if _key_digest(certificate.public_key()) != request.key:
            raise Unauthenticated(
                "key_mismatch", "the request is not signed by the certificate's key", "csr"
            )
        return node, certificate.serial_number

    def _issue(
        self,
        public_key: PublicKey,
        name: str,
        lifetime: timedelta,
        usage: x509.ObjectIdentifier,
        names: tuple[str, ...],
    ) -> Issued:
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_name(self.organisation, name))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - BACKDATE)
            .not_valid_after(now + lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_DIGITAL_SIGNATURE, critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(_authority_key(self.certificate), critical=False)
        )
        if names:
            alternatives = x509.SubjectAlternativeName([_general_name(n) for n in names])
            builder = builder.add_extension(alternatives, critical=False)
        certificate = builder.sign(self._key, _signature_hash(self._key))
        pem = certificate.public_bytes(Encoding.PEM).decode()
        return Issued(
            pem,
            certificate.serial_number,
            _key_digest(public_key),
            certificate.not_valid_after_utc,
        )


def subject(certificate: x509.Certificate) -> tuple[str, str]:
    """(common name, organisation), empty where there is none."""

    def first(oid: x509.ObjectIdentifier) -> str:
        values = certificate.subject.get_attributes_for_oid(oid)
        return str(values[0].value) if values else ""

    return first(NameOID.COMMON_NAME), first(NameOID.ORGANIZATION_NAME)


_DIGITAL_SIGNATURE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def _name(organisation: str, name: str) -> x509.Name:
    # X.520 allows 64 characters of a common name; a longer host name stands in the SAN.
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, name[:64]),
        ]
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _authority_key(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    extensions = certificate.extensions
    try:
        identifier = extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        key = certificate.public_key()
        return x509.AuthorityKeyIdentifier.from_issuer_public_key(key)  # type: ignore[arg-type]
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _signature_hash(key: object) -> hashes.SHA256 | None:
    # Ed25519 has its own.
    return None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()


def _is_client(certificate: x509.Certificate) -> bool:
    try:
        usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return False
    return ExtendedKeyUsageOID.CLIENT_AUTH in usage


def _key_digest(public_key: object) -> bytes:
    encoded = public_key.public_bytes(  # type: ignore[attr-defined]
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(encoded).digest()
