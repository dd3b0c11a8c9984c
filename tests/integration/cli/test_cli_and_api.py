"""The command against the real API: its own process, real Postgres, real TLS."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

import pytest

from anycastle.control import auth, migrate, provision
from anycastle.model import codec
from anycastle.model.addresses import Dual
from anycastle.model.codec import Key
from anycastle.model.control import ControlSpec
from anycastle.model.deployment import Anycast
from tests.support.control_plane import make_authority
from tests.support.postgres import Postgres, cluster
from tests.support.reporting import report
from tests.support.waiting import wait_for


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Deployment:
    """A control plane as a host runs it, and an operator's shell."""

    directory: Path
    spec: ControlSpec
    token: str
    server: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "ANYCASTLE_URL": f"https://127.0.0.1:{self.spec.port}",
            "ANYCASTLE_TOKEN": self.token,
            "ANYCASTLE_CA": self.spec.ca_certificate_file,
            "PYTHONPATH": os.pathsep.join(sys.path),
        }

    def start(self) -> None:
        config = self.directory / "control.json"
        config.write_bytes(codec.to_json(self.spec))
        command = [sys.executable, "-m", "anycastle.control.main", "--config", str(config)]
        with (self.directory / "control.log").open("ab") as log:
            self.server = subprocess.Popen(
                [sys.executable, "-c", "from anycastle.control.main import main; main()",
                 *command[3:], "serve"],
                stdout=log, stderr=log, env=self.environment,
            )  # fmt: skip
        wait_for("the API listens", self._listens, 20)

    def stop(self) -> None:
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(20)
            self.server = None

    def _listens(self) -> bool:
        socket.create_connection(("127.0.0.1", self.spec.port), 1).close()
        return True

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "anycastle.cli", *arguments], env=self.environment | variables,
            capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    with cluster() as running:
        yield running


@pytest.fixture(scope="module")
def deployment(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Deployment]:
    directory = tmp_path_factory.mktemp("control")
    spec = ControlSpec(
        deployment="testing",
        anycast=Anycast(
            addresses=(ip_address("192.0.2.1"), ip_address("2001:db8:a::1")),
            prefixes=(ip_network("192.0.2.0/24"), ip_network("2001:db8:a::/48")),
        ),
        pools=Dual(IPv4Network("10.200.0.0/27"), IPv6Network("fd00:200::/64")),
        service_public_key=Key(b"s" * 32),
        database=postgres.database(),
        listen=(ip_address("127.0.0.1"),),
        port=free_port(),
        names=("127.0.0.1",),
        ca_certificate_file=str(directory / "ca" / "ca.pem"),
        ca_key_file=str(directory / "ca" / "ca.key"),
    )
    make_authority(directory / "ca", "testing")
    make_authority(directory / "other", "another")

    async def prepare() -> str:
        await migrate.migrate(spec.database, spec.deployment)
        return await provision.operator_token(spec, "operator", auth.Role.ADMIN, None, None)

    running = Deployment(directory, spec, asyncio.run(prepare()))
    running.start()
    try:
        yield running
    finally:
        running.stop()


def test_status_of_an_empty_deployment(deployment: Deployment) -> None:
    done = deployment.run("status", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "deployment": "testing",
        "anycast": ["192.0.2.1", "2001:db8:a::1"],
        "nodes": [],
        "clients": {"enrolled": 0, "connected": 0},
    }


def test_a_client_from_add_to_remove(deployment: Deployment, tmp_path: Path) -> None:
    path = tmp_path / "phone.conf"
    done = deployment.run("client", "add", "phone", "--output", str(path))
    assert done.returncode == 0, done.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    text = path.read_text()
    assert f"PublicKey = {Key(b's' * 32).text}\n" in text
    assert "Endpoint = 192.0.2.1:51820\n" in text

    listed = json.loads(deployment.run("client", "list", "--json").stdout)
    [phone] = [client for client in listed if client["name"] == "phone"]
    assert set(phone) == {"name", "addresses", "owner", "endpoint", "latest_handshake"}
    v4, v6 = phone["addresses"]
    assert f"Address = {v4}/32, {v6}/128\n" in text

    again = deployment.run("client", "add", "phone")
    assert again.returncode == 1
    assert "phone" in again.stderr
    assert again.stderr.count("\n") == 1

    assert deployment.run("client", "remove", "phone").returncode == 1, "nobody said yes"
    assert deployment.run("client", "remove", "phone", "--yes").returncode == 0
    assert deployment.run("client", "show", "phone").returncode == 3


def test_wg_accepts_the_file(deployment: Deployment, tmp_path: Path) -> None:
    path = tmp_path / "wg-test.conf"
    assert deployment.run("client", "add", "reader", "--output", str(path)).returncode == 0
    stripped = subprocess.run(
        ["wg-quick", "strip", str(path)], capture_output=True, text=True, check=True
    ).stdout
    private = next(
        line.partition(" = ")[2] for line in stripped.splitlines() if "PrivateKey" in line
    )
    derived = subprocess.run(
        ["wg", "pubkey"], input=private, capture_output=True, text=True, check=True
    ).stdout.strip()
    shown = json.loads(deployment.run("client", "show", "reader", "--json").stdout)
    assert derived == shown["public_key"]


def test_addresses_asked_for(deployment: Deployment) -> None:
    made = deployment.run("client", "add", "asked", "--address", "10.200.0.30", "--json")
    assert made.returncode == 0, made.stderr
    assert "10.200.0.30" in json.loads(made.stdout)["addresses"]
    for bad in ("10.200.0.30", "10.99.0.1"):
        refused = deployment.run("client", "add", "refused", "--address", bad)
        assert refused.returncode == 1
        assert "addresses" in refused.stderr
    assert deployment.run("client", "show", "refused").returncode == 3


def test_an_exhausted_pool(deployment: Deployment) -> None:
    """A /27 has 15 places for clients; the loop ends at the first refusal."""
    for number in range(16):
        done = deployment.run("client", "add", f"many-{number}")
        if done.returncode:
            break
    assert done.returncode == 1, "more clients than addresses"
    assert "10.200.0.0/27" in done.stderr
    for entry in json.loads(deployment.run("client", "list", "--json").stdout):
        if entry["name"].startswith("many-"):
            deployment.run("client", "remove", entry["name"], "--yes")


def test_tokens_and_roles(deployment: Deployment) -> None:
    made = deployment.run("token", "create", "looker", "--role", "viewer", "--expires-in", "1h")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    assert deployment.run("status", "--token", secret).returncode == 0
    refused = deployment.run("client", "add", "x", "--token", secret)
    assert refused.returncode == 5
    listed = json.loads(deployment.run("token", "list", "--json").stdout)
    [looker] = [token for token in listed if token["name"] == "looker"]
    assert secret not in json.dumps(listed)
    assert deployment.run("token", "revoke", looker["id"]).returncode == 0
    revoked = deployment.run("status", "--token", secret)
    assert revoked.returncode == 5
    assert "ANYCASTLE_TOKEN" in revoked.stderr


def test_drain_and_resume(deployment: Deployment) -> None:
    for name in ("ams-1", "ams-2"):
        asyncio.run(report(deployment.spec, name))
    done = deployment.run("node", "drain", "ams-1", "--reason", "new disk")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("ams-1: asked to drain, no answer yet, no sessions left; ")
    done = deployment.run("node", "drain", "ams-2")
    assert done.returncode == 1
    assert (
        "no other node could take the clients of ams-2 over: ams-1: asked to drain" in done.stderr
    )
    # The node reports, and the API is restarted while the operator waits.
    shown = json.loads(deployment.run("node", "show", "ams-1", "--json").stdout)["drain"]
    since, deadline = (datetime.fromisoformat(shown[key]) for key in ("since", "deadline"))
    assert (deadline - since).total_seconds() == pytest.approx(600, abs=0.01)
    waiting = subprocess.Popen(
        [sys.executable, "-m", "anycastle.cli", "node", "drain", "ams-1", "--wait", "--deadline",
         "5s", "--json"],
        env=deployment.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(1.5)
    deployment.stop()
    deployment.start()
    printed, complaint = waiting.communicate(timeout=60)
    assert waiting.returncode == 7, complaint
    assert "lost the API" in complaint
    assert "the deadline passed without a word from the node" in complaint
    assert json.loads(printed.splitlines()[-1])["done"] is False
    assert deployment.run("node", "resume", "ams-1", "--wait").returncode == 0
    kinds = [json.loads(line)["kind"] for line in
             deployment.run("events", "--json").stdout.splitlines()]  # fmt: skip
    assert kinds.count("node.drain_asked") == 2
    assert kinds.count("node.resume_asked") == 1


def test_an_expired_token(deployment: Deployment) -> None:
    secret = deployment.run("token", "create", "brief", "--expires-in", "1s").stdout.strip()
    time.sleep(1.1)
    assert deployment.run("status", "--token", secret).returncode == 5


def test_a_join_token(deployment: Deployment) -> None:
    made = deployment.run("token", "create", "fra-3-joins", "--join", "fra-3", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["token"]["node"] == "fra-3"


def test_another_deployments_ca(deployment: Deployment) -> None:
    done = deployment.run("status", ANYCASTLE_CA=str(deployment.directory / "other" / "ca.pem"))
    assert done.returncode == 4
    assert "cannot verify" in done.stderr
    assert "other/ca.pem" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_ca_file_that_is_none(deployment: Deployment, tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pem", Path(__file__)):
        done = deployment.run("status", "--ca", str(path))
        assert done.returncode == 2
        assert str(path) in done.stderr


def test_nobody_listens(deployment: Deployment) -> None:
    url = f"https://127.0.0.1:{free_port()}"
    done = deployment.run("status", "--url", url)
    assert done.returncode == 4
    assert url in done.stderr
    assert "refused" in done.stderr


def test_a_wrong_token(deployment: Deployment) -> None:
    wrong = base64.urlsafe_b64encode(os.urandom(32)).decode()
    done = deployment.run("client", "list", "--token", wrong)
    assert done.returncode == 5
    assert wrong not in done.stderr


def test_events_follow_across_a_restart_of_the_api(deployment: Deployment, tmp_path: Path) -> None:
    with (tmp_path / "events").open("wb") as sink, (tmp_path / "errors").open("wb") as errors:
        follower = subprocess.Popen(
            [sys.executable, "-m", "anycastle.cli", "events", "--follow", "--json"],
            env=deployment.environment, stdout=sink, stderr=errors,
        )  # fmt: skip

    def seen() -> list[str]:
        lines = (tmp_path / "events").read_text().splitlines()
        return [json.loads(line)["message"] for line in lines]

    def tells_of(name: str) -> bool:
        return any(name in message for message in seen())

    try:
        assert deployment.run("client", "add", "before-it").returncode == 0
        wait_for("the first event", lambda: tells_of("before-it"), 10)
        deployment.stop()
        wait_for(
            "the break is told", lambda: "lost the API" in (tmp_path / "errors").read_text(), 10
        )
        deployment.start()
        assert deployment.run("client", "add", "after-it").returncode == 0
        wait_for("the second event", lambda: tells_of("after-it"), 30)
        ids = [json.loads(x)["id"] for x in (tmp_path / "events").read_text().splitlines()]
        assert ids == sorted(set(ids)), "an event came twice or out of order"
    finally:
        follower.terminate()
        follower.wait(10)
