"""What both WireGuard edges share."""

from __future__ import annotations

from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.wireguard.edge import clamp, in_order, some_key
from anycastle.model.codec import Key
from tests.support.node import key


def test_clamping_is_that_of_rfc_7748() -> None:
    assert clamp(Key(b"\xff" * 32)) == Key(b"\xf8" + b"\xff" * 30 + b"\x7f")
    assert clamp(Key(bytes(32))) == Key(bytes(31) + b"\x40")


@given(st.binary(min_size=32, max_size=32).map(Key))
def test_clamping_twice_is_clamping_once(raw: Key) -> None:
    assert clamp(clamp(raw)) == clamp(raw)


def test_allowed_ips_have_one_order() -> None:
    networks = [ip_network(text) for text in ("fd00::1/128", "10.0.0.2/32", "10.0.0.0/8")]
    assert [str(network) for network in in_order(reversed(networks))] == [
        "10.0.0.0/8",
        "10.0.0.2/32",
        "fd00::1/128",
    ]


def test_zeros_are_no_key() -> None:
    assert some_key(bytes(32)) is None
    assert some_key(b"") is None
    assert some_key(key(1)) == key(1)
