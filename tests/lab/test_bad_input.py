"""Bad input gets a clear message and a non-zero exit, and changes nothing."""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support import lab as labs
from tests.support.lab import Lab
from tests.support.waiting import wait_for

# stack files


def outside(dep: Any) -> None:
    dep["anycast"]["addresses"][0] = "203.0.113.200"


def duplicate(dep: Any) -> None:
    dep["datacentres"][1]["nodes"][0]["name"] = "ams-1"


def overlap(dep: Any) -> None:
    dep["pools"]["v4"] = "10.64.0.0/16"


def bad_asn(dep: Any) -> None:
    dep["asn"] = 4294967296


def no_nodes(dep: Any) -> None:
    dep["datacentres"][1]["nodes"] = []


def unknown_key(dep: Any) -> None:
    dep["datacentres"][0]["rooting"] = dep["datacentres"][0].pop("routing")


@pytest.mark.parametrize(
    ("spoil", "path", "says"),
    [
        (outside, "anycast.addresses[0]", "203.0.113.200"),
        (duplicate, "datacentres[1].nodes[0].name", "ams-1"),
        (overlap, "pools.v4", "overlap"),
        (bad_asn, "asn", "4294967296"),
        (no_nodes, "datacentres[1].nodes", "node"),
        (unknown_key, "datacentres[0]", "routing"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_stack_file(
    lab: Lab, tmp_path: Path, spoil: Callable[[Any], None], path: str, says: str
) -> None:
    stack = labs.default_stack()
    spoil(stack["config"]["anycastle:deployment"])
    file = tmp_path / "bad.yaml"
    file.write_text(yaml.safe_dump(stack, sort_keys=False))
    done = lab.pulumi("preview", stack_file=file)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert f"anycastle:deployment.{path}" in said
    assert says in said
    assert "Traceback" not in said


# the API


def post(lab: Lab, path: str, body: Any, token: str | None = None) -> httpx.Response:
    variables = lab.environment
    context = ssl.create_default_context(cafile=variables["ANYCASTLE_CA"])
    return httpx.post(
        f"{variables['ANYCASTLE_URL']}{path}", json=body, verify=context, trust_env=False,
        headers={"Authorization": f"Bearer {token or variables['ANYCASTLE_TOKEN']}"},
    )  # fmt: skip


def request_pem(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return csr.public_bytes(Encoding.PEM).decode()


def join(lab: Lab, token: str, node: str = "imaginary") -> httpx.Response:
    return post(lab, "/v1/join", {"token": token, "node": node, "csr": request_pem(node)})


def error_of(response: httpx.Response) -> dict[str, Any]:
    body = response.json()["error"]
    assert set(body) == {"code", "message", "field"}
    assert isinstance(body, dict)
    return body


@pytest.fixture
def unchanged(lab: Lab) -> Iterator[None]:
    """Neither clients nor revision differ after the test."""
    before = (lab.status().revision, lab.client_views())
    yield
    after = (lab.status().revision, lab.client_views())
    assert after[0] == before[0]
    assert [c.name for c in after[1]] == [c.name for c in before[1]]


def test_join_with_a_wrong_token(lab: Lab, unchanged: None) -> None:
    response = join(lab, "wrong" * 10)
    assert response.status_code in (401, 403)
    assert error_of(response)["message"]


def test_join_token_works_once(lab: Lab, unchanged: None) -> None:
    made = lab.cli_json("token", "create", "once", "--join", "imaginary")
    try:
        assert join(lab, made["secret"], "ams-1").is_error, "a token is for its own node only"
        assert join(lab, made["secret"]).is_success
        again = join(lab, made["secret"])
        assert again.status_code in (401, 403)
        assert "used" in error_of(again)["message"]
    finally:
        with lab.api() as api:
            api.delete("nodes", "imaginary")


def test_join_with_an_expired_token(lab: Lab, unchanged: None) -> None:
    made = lab.cli_json("token", "create", "brief", "--join", "imaginary", "--expires-in", "1s")
    time.sleep(1.2)
    response = join(lab, made["secret"])
    assert response.status_code in (401, 403)
    assert "expired" in error_of(response)["message"]


def test_client_name_twice(lab: Lab, unchanged: None) -> None:
    done = lab.cli("client", "add", lab.clients[0])
    assert done.returncode == 1
    assert b"already" in done.stderr
    assert b"PrivateKey" not in done.stdout


def test_malformed_public_key(lab: Lab, unchanged: None) -> None:
    assert lab.cli("client", "add", "bad", "--public-key", "c2hvcnQ=").returncode == 2
    response = post(lab, "/v1/clients", {"name": "bad", "public_key": "c2hvcnQ="})
    assert 400 <= response.status_code < 500
    assert error_of(response)["field"] == "public_key"


@pytest.mark.parametrize(
    "body",
    [
        {"name": 7, "public_key": "x"},
        {"name": "x"},
        {"name": "x", "public_key": None},
        {"name": "x", "public_key": "A" * 43 + "=", "color": "red"},
        [],
        "text",
        None,
    ],
)
def test_body_with_wrong_types(lab: Lab, unchanged: None, body: Any) -> None:
    response = post(lab, "/v1/clients", body)
    assert 400 <= response.status_code < 500
    assert error_of(response)["message"]


def test_wrong_operator_token(lab: Lab, unchanged: None) -> None:
    done = lab.cli("client", "list", ANYCASTLE_TOKEN="wrong" * 10)
    assert done.returncode == 5
    assert b"ANYCASTLE_TOKEN" in done.stderr


def test_agent_call_without_a_certificate(lab: Lab, unchanged: None) -> None:
    response = post(lab, "/v1/agent/report", {})
    assert response.status_code in (401, 403)
    assert "certificate" in error_of(response)["message"]


def test_agent_call_with_another_deployments_certificate(
    lab: Lab, unchanged: None, tmp_path: Path
) -> None:
    certificate, key = forged(tmp_path, "ams-1")
    context = ssl.create_default_context(cafile=lab.environment["ANYCASTLE_CA"])
    context.load_cert_chain(certificate, key)
    url = f"{lab.environment['ANYCASTLE_URL']}/v1/agent/report"
    try:
        response = httpx.post(url, json={}, verify=context, trust_env=False)
    except httpx.TransportError:
        return  # refused in the handshake
    assert response.status_code in (401, 403)


def forged(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate for a node's name by nobody's CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    paths = directory / "node.pem", directory / "node.key"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


# nodes


def test_corrupted_state_file(lab: Lab) -> None:
    """The node takes a fresh snapshot, keeps the bad file and says so."""
    node = "ams-1"
    lab.script(
        node,
        "systemctl stop anycastle-agent; cd /var/lib/anycastle; rm -f snapshot.corrupt; "
        "printf garbage | dd of=snapshot bs=1 seek=20 conv=notrunc status=none; "
        "systemctl start anycastle-agent",
    )
    lab.serve(60)
    lab.run(node, "test", "-s", "/var/lib/anycastle/snapshot.corrupt")
    lab.run(node, "test", "-s", "/var/lib/anycastle/snapshot")
    log = lab.run(node, "journalctl", "-u", "anycastle-agent", "-n200", "-o", "cat")
    assert "snapshot.corrupt" in log, "the log says where the bad file went"
    lab.run(node, "rm", "/var/lib/anycastle/snapshot.corrupt")


def test_missing_daemon_binary(lab: Lab) -> None:
    """The node withdraws, says which program is missing, and comes back with it."""
    node = "ams-2"
    try:
        lab.script(node, "mv /usr/sbin/bird /usr/sbin/bird.away; systemctl kill -s KILL bird")
        report = wait_for(
            "the node says what is missing",
            lambda: (r := lab.report(node)) and r.state != "UP" and "bird" in str(r) and r,
            30,
        )
        assert report
        assert node not in lab.announcers("ams")
    finally:
        lab.script(node, "mv /usr/sbin/bird.away /usr/sbin/bird")
    lab.serve(120)
