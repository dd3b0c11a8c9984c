"""Certificates: what is in them, and what the CA does not sign."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from anycastle.agent.credentials import Credentials, IdentityError, verify
from anycastle.control import pki
from anycastle.control.errors import Invalid, Unauthenticated
from tests.support.control_plane import make_authority

HOUR = timedelta(hours=1)


@pytest.fixture
def authority(tmp_path: Path) -> pki.Authority:
    return make_authority(tmp_path, "testing")


def _csr(key: object) -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whoever")])
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    return builder.sign(key, digest).public_bytes(Encoding.PEM).decode()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP256R1()),
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
    ],
)
def test_a_nodes_certificate_is_the_tokens_node_and_a_client(
    authority: pki.Authority, key: object
) -> None:
    issued = authority.issue_node(pki.read_request(_csr(key)), "ams-1", HOUR)
    certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
    certificate.verify_directly_issued_by(authority.certificate)
    assert pki.subject(certificate) == ("ams-1", "testing")
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    basic = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert not basic.ca
    assert issued.expires_at - datetime.now(UTC) < HOUR


def test_the_servers_certificate_has_names_and_addresses(authority: pki.Authority) -> None:
    issued, _ = authority.issue_server(("control.example", "198.51.100.17", "2001:db8::1"))
    certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["control.example"]
    assert [str(a) for a in names.get_values_for_type(x509.IPAddress)] == [
        "198.51.100.17",
        "2001:db8::1",
    ]


@pytest.mark.parametrize(
    ("pem", "reason"),
    [
        ("rubbish", "not a PEM certificate request"),
        (_csr(rsa.generate_private_key(65537, 2048)), "must be P-256"),
        (_csr(ec.generate_private_key(ec.SECP521R1())), "must be P-256"),
    ],
)
def test_bad_requests_are_refused(pem: str, reason: str) -> None:
    with pytest.raises(Invalid, match=reason) as caught:
        pki.read_request(pem)
    assert caught.value.field == "csr"


def test_a_request_that_was_tampered_with_is_refused() -> None:
    der = x509.load_pem_x509_csr(_csr(ec.generate_private_key(ec.SECP256R1())).encode())
    body = der.public_bytes(Encoding.DER).replace(b"whoever", b"ams-123")
    tampered = x509.load_der_x509_csr(body).public_bytes(Encoding.PEM).decode()
    with pytest.raises(Invalid, match="not by its own key"):
        pki.read_request(tampered)


def test_a_mixed_pair_of_ca_files_is_refused(authority: pki.Authority, tmp_path: Path) -> None:
    make_authority(tmp_path / "other", "other")
    with pytest.raises(pki.AuthorityError, match="is not the key of"):
        pki.Authority.load(tmp_path / "ca.pem", tmp_path / "other" / "ca.key", "testing")
    with pytest.raises(pki.AuthorityError, match=r"absent\.pem"):
        pki.Authority.load(tmp_path / "absent.pem", tmp_path / "ca.key", "testing")


def _issued(authority: pki.Authority) -> tuple[Credentials, pki.Request]:
    credentials = Credentials.new()
    request = pki.read_request(credentials.request("ams-1", "testing"))
    issued = authority.issue_node(request, "ams-1", HOUR)
    return credentials.with_certificate(issued.certificate), request


def test_an_ended_certificate_renews_for_a_while(authority: pki.Authority) -> None:
    credentials, request = _issued(authority)
    now = datetime.now(UTC)
    node, _ = authority.read_expired(credentials.certificate, request, now + 2 * HOUR)
    assert node == "ams-1"
    with pytest.raises(Unauthenticated, match="more than 90 days ago"):
        authority.read_expired(credentials.certificate, request, now + timedelta(days=92))


def test_an_ended_certificate_of_others_renews_nothing(
    authority: pki.Authority, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    foreign, request = _issued(make_authority(tmp_path / "other", "testing"))
    with pytest.raises(Unauthenticated, match="another deployment's"):
        authority.read_expired(foreign.certificate, request, now)
    mine, _ = _issued(authority)
    with pytest.raises(Unauthenticated, match="not signed by the certificate's key"):
        authority.read_expired(mine.certificate, request, now)
    server, _ = authority.issue_server(("ams-1",))
    with pytest.raises(Unauthenticated, match="not a node's"):
        authority.read_expired(server.certificate, request, now)


def test_a_node_checks_its_own_identity(authority: pki.Authority, tmp_path: Path) -> None:
    credentials, _ = _issued(authority)
    ca = authority.pem.encode()
    verify(credentials, "ams-1", "testing", ca)
    assert Credentials.parse(credentials.pem) == credentials
    other = make_authority(tmp_path / "other", "testing").pem.encode()
    for case, reason in (
        ((credentials, "ams-2", "testing", ca), "for node 'ams-1'"),
        ((credentials, "ams-1", "another", ca), "another deployment's"),
        ((credentials, "ams-1", "testing", other), "not by this deployment's CA"),
        ((Credentials.new(), "ams-1", "testing", ca), "no certificate"),
        ((_mixed(credentials), "ams-1", "testing", ca), "not for this node's key"),
    ):
        with pytest.raises(IdentityError, match=reason):
            verify(*case)


def _mixed(credentials: Credentials) -> Credentials:
    return Credentials.new().with_certificate(credentials.certificate)


def test_a_damaged_identity_file_is_kept_aside(tmp_path: Path) -> None:
    path = tmp_path / "identity.pem"
    path.write_bytes(b"damaged")
    assert Credentials.load(path).certificate == ""
    assert (tmp_path / "identity.pem.corrupt").read_bytes() == b"damaged"
    assert not path.exists()


def test_renewal_is_due_at_two_thirds() -> None:
    assert Credentials(b"", "x", 300.0, 600.0).renew_at == 500.0
