"""Runs once on a new instance, before sshd: its host key from Secrets Manager.

    python3 host_key.py SECRET_ID REGION

So the key that bootstrap expects is there from the first answer on, and is neither in
user data nor trusted on first use. Standard library only: nothing is installed yet.
Signs one request (AWS Signature Version 4) with the credentials of the instance's role.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

METADATA = os.environ.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://169.254.169.254")
KEY_FILE = os.environ.get("HOST_KEY_FILE", "/etc/ssh/ssh_host_ed25519_key")
PATIENCE = 120
"""Seconds for the role's credentials to appear."""


def metadata(path: str, method: str = "GET", headers: dict[str, str] | None = None) -> str:
    request = urllib.request.Request(METADATA + path, method=method, headers=headers or {})
    with urllib.request.urlopen(request, timeout=5) as answer:
        return str(answer.read().decode())


def credentials() -> dict[str, str]:
    seconds = {"X-aws-ec2-metadata-token-ttl-seconds": "60"}
    session = {"X-aws-ec2-metadata-token": metadata("/latest/api/token", "PUT", seconds)}
    path = "/latest/meta-data/iam/security-credentials/"
    role = metadata(path, headers=session).split()[0]
    found: dict[str, str] = json.loads(metadata(path + role, headers=session))
    return found


def signed(
    host: str, region: str, body: bytes, found: dict[str, str], now: dt.datetime
) -> dict[str, str]:
    """The headers of a GetSecretValue request."""
    stamp, day = now.strftime("%Y%m%dT%H%M%SZ"), now.strftime("%Y%m%d")
    headers = {
        "content-type": "application/x-amz-json-1.1",
        "host": host,
        "x-amz-date": stamp,
        "x-amz-security-token": found["Token"],
        "x-amz-target": "secretsmanager.GetSecretValue",
    }
    names = ";".join(sorted(headers))
    lines = ["POST", "/", ""] + [f"{name}:{headers[name]}" for name in sorted(headers)]
    lines += ["", names, hashlib.sha256(body).hexdigest()]
    scope = f"{day}/{region}/secretsmanager/aws4_request"
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}"
    key = ("AWS4" + found["SecretAccessKey"]).encode()
    for part in (*scope.split("/"), text):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    headers["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={found['AccessKeyId']}/{scope}, "
        f"SignedHeaders={names}, Signature={key.hex()}"
    )
    return headers


def read(secret: str, region: str) -> str:
    url = os.environ.get("AWS_ENDPOINT_URL") or f"https://secretsmanager.{region}.amazonaws.com"
    body = json.dumps({"SecretId": secret}).encode()
    now = dt.datetime.now(dt.UTC)
    headers = signed(url.partition("://")[2], region, body, credentials(), now)
    request = urllib.request.Request(url + "/", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.loads(answer.read())["SecretString"])


def store(key: str) -> None:
    descriptor = os.open(KEY_FILE, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key.rstrip("\n") + "\n")
    public = subprocess.run(
        ["ssh-keygen", "-y", "-f", KEY_FILE], check=True, capture_output=True, text=True
    )
    Path(KEY_FILE + ".pub").write_text(public.stdout)


def main(secret: str, region: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            store(read(secret, region))
            return
        except (urllib.error.URLError, OSError, KeyError, IndexError, ValueError) as error:
            if time.monotonic() > deadline:
                raise SystemExit(f"host key {secret} in {region}: {error}") from None
            time.sleep(2)


if __name__ == "__main__":
    main(*sys.argv[1:])
