"""The file for a stock client."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from anycastle.model import wg_quick
from anycastle.model.api import ClientCreated, ClientView, Connection
from anycastle.model.codec import Key

ENDPOINTS = ("192.0.2.1:51820", "[2001:db8:a::1]:51820")


def created(endpoints: tuple[str, ...] = ENDPOINTS) -> ClientCreated:
    view = ClientView(
        id="7d0e", name="phone", addresses=(ip_address("10.200.0.16"), ip_address("fd00:200::10")),
        public_key=Key(b"p" * 32), owner=None, endpoint=None, latest_handshake=None, created_at="",
    )  # fmt: skip
    connection = Connection(
        endpoints=endpoints, service_public_key=Key(b"s" * 32), allowed_ips=("0.0.0.0/0",),
        mtu=1380, keepalive=25,
    )  # fmt: skip
    return ClientCreated(client=view, connection=connection, revision=1)


def test_a_key_made_elsewhere_leaves_a_comment() -> None:
    text = wg_quick.render(created(), None, None)
    assert f"\n# PrivateKey = put the private key of {Key(b'p' * 32).text} here\n" in text
    assert "PresharedKey" not in text


def test_keys_are_written_out() -> None:
    text = wg_quick.render(created(), Key(b"x" * 32), Key(b"y" * 32))
    assert f"\nPrivateKey = {Key(b'x' * 32).text}\n" in text
    assert f"\nPresharedKey = {Key(b'y' * 32).text}\n" in text


@pytest.mark.parametrize(
    ("endpoints", "family", "chosen"),
    [
        (ENDPOINTS, "ipv4", ENDPOINTS[0]),
        (ENDPOINTS, "ipv6", ENDPOINTS[1]),
        (ENDPOINTS[::-1], "ipv4", ENDPOINTS[0]),
        (ENDPOINTS[1:], "ipv4", ENDPOINTS[1]),
    ],
)
def test_endpoint_of_a_family(
    endpoints: tuple[str, ...], family: wg_quick.Family, chosen: str
) -> None:
    assert f"Endpoint = {chosen}\n" in wg_quick.render(created(endpoints), None, None, family)


def test_a_deployment_without_endpoint() -> None:
    with pytest.raises(ValueError, match="no endpoint"):
        wg_quick.render(created(()), None, None)
