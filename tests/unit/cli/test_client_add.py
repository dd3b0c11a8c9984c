"""`client add`: keys stay here, files are private, nothing is half done."""

from __future__ import annotations

import base64
import json
import os
import stat
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from anycastle.cli import keys


def field(text: str, name: str) -> str:
    """The value of `name = value` in a wg-quick file."""
    return next(line.partition(" = ")[2] for line in text.splitlines() if line.startswith(name))


def public_of(private: str) -> str:
    key = X25519PrivateKey.from_private_bytes(base64.b64decode(private))
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


@pytest.fixture
def api(api: Any, shapes: Any) -> Any:
    api.answers["POST /v1/clients"] = shapes.created
    return api


def test_prints_a_whole_file(api: Any, shapes: Any) -> None:
    result = api.run("client", "add", "phone")
    assert result.exit_code == 0
    assert result.stdout == (
        "# phone\n"
        "[Interface]\n"
        f"PrivateKey = {field(result.stdout, 'PrivateKey')}\n"
        "Address = 10.200.0.16/32, fd00:200::10/128\n"
        "MTU = 1380\n"
        "\n"
        "[Peer]\n"
        f"PublicKey = {shapes.connection()['service_public_key']}\n"
        f"PresharedKey = {api.sent()['preshared_key']}\n"
        "Endpoint = 192.0.2.1:51820\n"
        "AllowedIPs = 10.200.0.0/16, fd00:200::/64\n"
        "PersistentKeepalive = 25\n"
    )


def test_sends_the_public_half_only(api: Any) -> None:
    private = field(api.run("client", "add", "phone").stdout, "PrivateKey")
    assert api.sent()["public_key"] == public_of(private)
    assert private.encode() not in b"".join(request.content for request in api.requests)


def test_keys_differ_and_are_clamped() -> None:
    made = [keys.new_private_key() for _ in range(50)]
    assert len(set(made)) == 50
    assert all(key[0] & 7 == 0 and key[31] & 0xC0 == 0x40 for key in made)
    assert keys.public_key(made[0]).text == public_of(made[0].text)


def test_uses_a_key_made_elsewhere(api: Any) -> None:
    public = keys.public_key(keys.new_private_key()).text
    result = api.run("client", "add", "router", "--public-key", public)
    assert result.exit_code == 0
    assert api.sent()["public_key"] == public
    assert f"# PrivateKey = put the private key of {public} here" in result.stdout
    assert "\nPrivateKey" not in result.stdout


@pytest.mark.parametrize("bad", ["x", "c2hvcnQ=", "c2VydmljZS1rZXktc2VydmljZS1rZXktc2VydmljZTA"])
def test_malformed_public_key_reaches_nobody(api: Any, bad: str) -> None:
    result = api.run("client", "add", "router", "--public-key", bad)
    assert result.exit_code == 2
    assert "--public-key" in result.stderr
    assert "not a WireGuard key" in result.stderr
    assert api.requests == []


def test_writes_a_private_file(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "phone.conf"
    previous = os.umask(0)
    try:
        result = api.run("client", "add", "phone", "--output", str(path))
    finally:
        os.umask(previous)
    assert result.exit_code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_of(field(path.read_text(), "PrivateKey")) == api.sent()["public_key"]
    assert "PrivateKey" not in result.output
    assert [entry.name for entry in tmp_path.iterdir()] == ["phone.conf"]


def test_never_overwrites_silently(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "phone.conf"
    path.write_text("precious")
    result = api.run("client", "add", "phone", "--output", str(path))
    assert result.exit_code == 1
    assert "exists" in result.stderr
    assert "--force" in result.stderr
    assert path.read_text() == "precious"
    assert api.requests == [], "a client was enrolled whose key is nowhere"


def test_does_not_follow_a_dangling_link(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "phone.conf"
    path.symlink_to(tmp_path / "elsewhere")
    assert api.run("client", "add", "phone", "--output", str(path)).exit_code == 1
    assert not (tmp_path / "elsewhere").exists()


def test_force_replaces(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "phone.conf"
    path.write_text("old")
    path.chmod(0o644)
    result = api.run("client", "add", "phone", "--output", str(path), "--force")
    assert result.exit_code == 0
    assert path.read_text().startswith("# phone\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_refused_client_leaves_no_file(api: Any, shapes: Any, tmp_path: Path) -> None:
    body = shapes.refusal("name_taken", "a client is called 'phone' already", "name")
    api.answers["POST /v1/clients"] = httpx.Response(409, json=body)
    path = tmp_path / "phone.conf"
    result = api.run("client", "add", "phone", "--output", str(path))
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: there is a client 'phone' already: take another name, or "
        "`anycastle client remove phone` first\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_unwritable_place_is_met_before_the_call(api: Any, tmp_path: Path) -> None:
    result = api.run("client", "add", "phone", "--output", str(tmp_path / "no" / "such.conf"))
    assert result.exit_code == 1
    assert "cannot write" in result.stderr
    assert api.requests == []


def test_key_is_shown_when_its_file_is_lost(api: Any, shapes: Any, tmp_path: Path) -> None:
    """Somebody makes a file of that name while the API works."""
    path = tmp_path / "phone.conf"

    def answer(request: httpx.Request) -> httpx.Response:
        path.write_text("somebody else's")
        response: httpx.Response = shapes.created(request)
        return response

    api.answers["POST /v1/clients"] = answer
    result = api.run("client", "add", "phone", "--output", str(path))
    assert result.exit_code == 1
    assert public_of(field(result.stdout, "PrivateKey")) == api.sent()["public_key"]
    assert "is enrolled, but" in result.stderr
    assert path.read_text() == "somebody else's"


def test_qr_code_is_drawn(api: Any, tmp_path: Path) -> None:
    path = tmp_path / "phone.conf"
    result = api.run("client", "add", "phone", "--output", str(path), "--qr")
    assert result.exit_code == 0
    assert any(block in result.stdout for block in "█▀▄")
    assert len(result.stdout.splitlines()) > 20


def test_ipv6_endpoint(api: Any) -> None:
    result = api.run("client", "add", "phone", "--over", "ipv6")
    assert field(result.stdout, "Endpoint") == "[2001:db8:a::1]:51820"


def test_asks_for_addresses(api: Any) -> None:
    wanted = ["10.200.0.99", "fd00:200::99"]
    api.run("client", "add", "phone", "--address", wanted[0], "--address", wanted[1])
    assert api.sent()["addresses"] == wanted


@pytest.mark.parametrize("bad", ["10.200.0.99/32", "10.200.0", "phone"])
def test_refuses_what_is_no_address(api: Any, bad: str) -> None:
    result = api.run("client", "add", "phone", "--address", bad)
    assert result.exit_code == 2
    assert "--address" in result.stderr
    assert api.requests == []


def test_json_shape(api: Any, tmp_path: Path) -> None:
    printed = json.loads(api.run("client", "add", "phone", "--json").stdout)
    assert list(printed) == [
        "id", "name", "addresses", "public_key", "revision", "file", "configuration",
    ]  # fmt: skip
    assert printed["file"] is None
    assert printed["configuration"].startswith("# phone\n")
    path = tmp_path / "phone.conf"
    written = json.loads(api.run("client", "add", "phone", "--output", str(path), "--json").stdout)
    assert written["file"] == str(path)
    assert written["configuration"] is None


def test_json_and_qr_exclude_each_other(api: Any) -> None:
    assert api.run("client", "add", "phone", "--json", "--qr").exit_code == 2
