from __future__ import annotations

import datetime as dt

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from anycastle.model.codec import Key
from components import keys

NOW = dt.datetime(2026, 5, 4, 3, 2, 1, tzinfo=dt.UTC)


def test_private_keys_are_clamped_and_differ() -> None:
    made = [keys.private_key() for _ in range(50)]
    assert len(set(made)) == 50
    for key in made:
        assert key[0] & 0b111 == 0
        assert key[31] & 0b11000000 == 0b01000000


def test_two_key_pairs_agree_on_a_secret() -> None:
    """The public half belongs to the private one: Diffie-Hellman works both ways (RFC 7748)."""
    one, other = keys.private_key(), keys.private_key()
    assert shared(one, keys.public_key(other)) == shared(other, keys.public_key(one))


def shared(private: Key, public: Key) -> bytes:
    theirs = X25519PublicKey.from_public_bytes(public)
    return X25519PrivateKey.from_private_bytes(private).exchange(theirs)


def test_the_authority_signs_itself_and_no_other_authority() -> None:
    certificate_pem, private_pem = keys.certificate_authority("blue", NOW)
    certificate = x509.load_pem_x509_certificate(certificate_pem.encode())
    certificate.verify_directly_issued_by(certificate)
    constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    assert (constraints.ca, constraints.path_length) == (True, 0)
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.key_cert_sign
    assert not usage.digital_signature
    assert "O=blue" in certificate.subject.rfc4514_string()
    private = serialization.load_pem_private_key(private_pem.encode(), None)
    assert private.public_key() == certificate.public_key()


def test_the_authority_lasts_for_ten_years_and_bears_slow_clocks() -> None:
    certificate = x509.load_pem_x509_certificate(keys.certificate_authority("x", NOW)[0].encode())
    assert dt.timedelta(0) < NOW - certificate.not_valid_before_utc <= dt.timedelta(hours=1)
    assert certificate.not_valid_after_utc - NOW == dt.timedelta(days=3650)


def test_operator_tokens_are_long_and_differ() -> None:
    assert len({keys.operator_token() for _ in range(50)}) == 50
    assert len(keys.operator_token()) >= 43
