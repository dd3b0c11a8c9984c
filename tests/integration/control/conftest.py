"""A real Postgres for the session, and control planes on top of it.

Debian's Postgres runs as an unprivileged user in a temporary directory, on a Unix
socket only. Each test gets a database of its own.
"""

from __future__ import annotations

import itertools
import os
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path

import msgspec
import psycopg
import pytest
from aiohttp import ClientResponse, ClientSession, TCPConnector
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from anycastle.control import auth, migrate, provision, server
from anycastle.control.pki import Authority
from anycastle.model import codec
from anycastle.model.addresses import Dual
from anycastle.model.codec import Key
from anycastle.model.control import ControlSpec
from anycastle.model.deployment import Anycast

BINARIES = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count()


class Postgres:
    """A cluster in a directory of its own. As root it runs as `nobody`."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self._user = "nobody" if os.geteuid() == 0 else None
        directory.chmod(0o755)
        if self._user:
            shutil.chown(directory, self._user)

    def create(self) -> None:
        self._run("initdb", "-D", self.data, "-U", "postgres", "-A", "trust", "-E", "UTF8",
                  "--no-sync", "--locale=C.UTF-8")  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as conf:
            conf.write(
                f"listen_addresses = ''\nunix_socket_directories = '{self.directory}'\n"
                "fsync = off\nshared_buffers = 64MB\nmax_connections = 200\n"
            )

    def start(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-l", self.directory / "log", "start")

    def stop(self, mode: str = "fast") -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-m", mode, "stop")

    def database(self) -> str:
        """A new, empty database's connection string."""
        name = f"test{next(_numbers)}"
        with psycopg.connect(self.conninfo("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}"'.encode())
        return self.conninfo(name)

    def conninfo(self, name: str) -> str:
        return f"host={self.directory} dbname={name} user=postgres"

    def dump(self, conninfo: str) -> str:
        """The schema, without comments and what is new on each run."""
        text = self._run("pg_dump", "--schema-only", "--no-owner", "-d", conninfo)
        lines = (line for line in text.splitlines() if not line.startswith(("--", "\\")))
        return "\n".join(line for line in lines if line.strip())

    def _run(self, program: str, *arguments: object) -> str:
        # The started server inherits the output, so it must not be a pipe that we wait for.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [BINARIES / program, *map(str, arguments)],
                user=self._user,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=60,
            )
            output.seek(0)
            text = output.read()
        assert done.returncode == 0, f"{program}: {text}"
        return text


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    directory = Path(tempfile.mkdtemp(prefix="acpg-", dir="/tmp"))
    cluster = Postgres(directory)
    try:
        cluster.create()
        cluster.start()
        yield cluster
        cluster.stop("immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def make_authority(directory: Path, deployment: str) -> Authority:
    """A deployment's CA as the Pulumi program writes it."""
    directory.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{deployment} CA")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_SIGNS_CERTIFICATES, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "ca.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    (directory / "ca.key").write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return Authority.load(directory / "ca.pem", directory / "ca.key", deployment)


_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


@dataclass(frozen=True)
class World:
    """A deployment on paper: its spec, CA and an empty, migrated database."""

    spec: ControlSpec
    authority: Authority
    directory: Path
    postgres: Postgres

    def with_pools(self, v4: str, v6: str) -> World:
        pools = Dual(IPv4Network(v4), IPv6Network(v6))
        return replace(self, spec=msgspec.structs.replace(self.spec, pools=pools))

    def with_spec(self, **values: object) -> World:
        return replace(self, spec=msgspec.structs.replace(self.spec, **values))

    def config(self) -> Path:
        """The spec as a file, for the command line."""
        path = self.directory / "control.json"
        path.write_bytes(codec.to_json(self.spec))
        return path


@pytest.fixture
async def world(postgres: Postgres, tmp_path: Path) -> World:
    spec = ControlSpec(
        deployment="testing",
        anycast=Anycast(
            addresses=(ip_address("192.0.2.1"), ip_address("2001:db8:a::1")),
            prefixes=(ip_network("192.0.2.0/24"), ip_network("2001:db8:a::/48")),
        ),
        pools=Dual(IPv4Network("10.200.0.0/16"), IPv6Network("fd00:200::/64")),
        service_public_key=Key(b"s" * 32),
        database=postgres.database(),
        allowed_networks=(ip_network("10.50.1.0/24"),),
        listen=(ip_address("127.0.0.1"),),
        port=0,
        names=("localhost", "127.0.0.1"),
        ca_certificate_file=str(tmp_path / "ca" / "ca.pem"),
        ca_key_file=str(tmp_path / "ca" / "ca.key"),
    )
    await migrate.migrate(spec.database, spec.deployment)
    return World(spec, make_authority(tmp_path / "ca", "testing"), tmp_path, postgres)


@dataclass(frozen=True)
class Api:
    """A running control plane and an administrator's session with it."""

    world: World
    url: str
    session: ClientSession
    token: str

    async def call(self, method: str, path: str, body: object = None, **options: object) -> Answer:
        headers = {"Authorization": f"Bearer {options.pop('token', self.token)}"}
        data = body if isinstance(body, bytes | None) else codec.to_json(body)
        async with self.session.request(
            method, self.url + path, data=data, headers=headers, **options
        ) as response:
            return Answer(response, await response.read())

    async def add(self, name: str, key: bytes | None = None, **fields: object) -> Answer:
        public_key = Key(key or os.urandom(32)).text
        return await self.call(
            "POST", "/v1/clients", {"name": name, "public_key": public_key, **fields}
        )


@dataclass(frozen=True)
class Answer:
    response: ClientResponse
    data: bytes

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def json(self) -> dict[str, object]:
        return codec.from_json(self.data, dict)

    @property
    def error(self) -> tuple[int, str, str | None]:
        error = codec.from_json(self.data, dict[str, dict[str, str | None]])["error"]
        return self.status, error["code"] or "", error["field"]


Running = Callable[[World], AbstractAsyncContextManager[Api]]


@asynccontextmanager
async def run_api(world: World) -> AsyncIterator[Api]:
    token = await provision.operator_token(
        world.spec, f"test{next(_numbers)}", auth.Role.ADMIN, None, None
    )
    connector = TCPConnector(ssl=client_tls(world))
    async with (
        server.running(world.spec, world.authority) as port,
        ClientSession(connector=connector) as session,
    ):
        yield Api(world, f"https://127.0.0.1:{port}", session, token)


def client_tls(world: World) -> ssl.SSLContext:
    """Trusts the deployment's CA and nothing else."""
    return ssl.create_default_context(cafile=world.spec.ca_certificate_file)


@pytest.fixture
def running() -> Running:
    return run_api


@pytest.fixture
async def api(world: World) -> AsyncIterator[Api]:
    async with run_api(world) as api:
        yield api
