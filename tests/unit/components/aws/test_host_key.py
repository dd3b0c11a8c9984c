"""The script that fetches a host's key, against stand-ins of metadata and Secrets Manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from components import ssh_keys
from components.aws import texts

SCRIPT = Path(texts.__file__).parent / "files" / "host_key.py"
ROLE = "anycastle-prod-dub-1"
CREDENTIALS = {"AccessKeyId": "AKIAEXAMPLE", "SecretAccessKey": "secret", "Token": "session"}
SECRET, REGION = "anycastle/prod/hosts/dub-1/host-key", "eu-west-1"
BASE = "/latest/meta-data/iam/security-credentials/"


class Cloud(BaseHTTPRequestHandler):
    """Metadata service (IMDSv2 only) and Secrets Manager at one address."""

    def do_PUT(self) -> None:
        assert self.path == "/latest/api/token"
        self._answer(200, b"imds-session")

    def do_GET(self) -> None:
        if self.headers.get("X-aws-ec2-metadata-token") != "imds-session":
            self._answer(401, b"")
        elif self.path == BASE:
            self._answer(200, ROLE.encode())
        else:
            assert self.path == BASE + ROLE
            self._answer(200, json.dumps(CREDENTIALS).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_signed(body) or json.loads(body) != {"SecretId": SECRET}:
            self._answer(400, b"{}")
            return
        self._answer(200, json.dumps({"SecretString": self.server.key}).encode())  # type: ignore[attr-defined]

    def _is_signed(self, body: bytes) -> bool:
        """Is the signature the one that botocore makes?"""
        given = self.headers["Authorization"]
        names = given.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        headers = {name: self.headers[name] for name in names}
        request = AWSRequest("POST", f"http://{self.headers['Host']}/", headers=headers, data=body)
        request.context["timestamp"] = headers["x-amz-date"]
        signer = SigV4Auth(
            Credentials("AKIAEXAMPLE", "secret", "session"), "secretsmanager", REGION
        )
        text = signer.string_to_sign(request, signer.canonical_request(request))
        return bool(given.endswith(f"Signature={signer.signature(text, request)}"))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def cloud() -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Cloud)
    server.key, _ = ssh_keys.key_pair()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_key_is_there_before_sshd(cloud: Any, tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{cloud.server_port}"
    file = tmp_path / "ssh_host_ed25519_key"
    environment = os.environ | {
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": address,
        "AWS_ENDPOINT_URL": address,
        "HOST_KEY_FILE": str(file),
    }
    # As cloud-init runs it.
    command = [sys.executable, "-c", texts.HOST_KEY_SCRIPT, SECRET, REGION]
    subprocess.run(command, env=environment, check=True, timeout=60)
    assert file.read_text() == cloud.key
    assert file.stat().st_mode & 0o777 == 0o600
    public = Path(f"{file}.pub").read_text()
    assert public.startswith("ssh-ed25519 AAAA")


def test_keys_of_ours_are_what_openssh_reads(tmp_path: Path) -> None:
    private, public = ssh_keys.key_pair()
    file = tmp_path / "key"
    file.write_text(private)
    file.chmod(0o600)
    done = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(file)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[:2] == public.split()[:2]
    assert public.count(" ") == 1
