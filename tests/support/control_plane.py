"""Control planes for tests: a deployment on paper, its CA, and the API on a real database."""

from __future__ import annotations

import itertools
import os
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any

import msgspec
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
from tests.support.postgres import Postgres

_numbers = itertools.count()


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

    def with_spec(self, **values: Any) -> World:
        return replace(self, spec=msgspec.structs.replace(self.spec, **values))

    def config(self) -> Path:
        """The spec as a file, for the command line."""
        path = self.directory / "control.json"
        path.write_bytes(codec.to_json(self.spec))
        return path


async def make_world(postgres: Postgres, directory: Path) -> World:
    """A new deployment with an empty, migrated database."""
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
        ca_certificate_file=str(directory / "ca" / "ca.pem"),
        ca_key_file=str(directory / "ca" / "ca.key"),
    )
    await migrate.migrate(spec.database, spec.deployment)
    return World(spec, make_authority(directory / "ca", "testing"), directory, postgres)


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
class Api:
    """A running control plane and an administrator's session with it."""

    world: World
    url: str
    session: ClientSession
    token: str

    async def call(self, method: str, path: str, body: object = None, **options: Any) -> Answer:
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


@asynccontextmanager
async def run_api(world: World) -> AsyncIterator[Api]:
    token = await provision.operator_token(
        world.spec, f"test{next(_numbers)}", auth.Role.ADMIN, None, None
    )
    connector = TCPConnector(ssl=client_tls(world))
    async with (
        server.running(world.spec, world.authority) as running,
        ClientSession(connector=connector) as session,
    ):
        yield Api(world, f"https://127.0.0.1:{running.port}", session, token)


def client_tls(world: World) -> ssl.SSLContext:
    """Trusts the deployment's CA and nothing else."""
    return ssl.create_default_context(cafile=world.spec.ca_certificate_file)
