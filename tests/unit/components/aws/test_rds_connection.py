"""How hosts of the control plane are told to reach the database."""

from __future__ import annotations

from ipaddress import IPv4Address
from pathlib import Path

import psycopg

from components.aws import database
from components.aws.accelerator import foreign
from components.aws.database import certificates_url, connection, passfile

ADDRESS = "prod.abc.eu-west-1.rds.amazonaws.com"


def test_libpq_understands_the_connection_string_and_it_asks_for_verified_tls() -> None:
    found = psycopg.conninfo.conninfo_to_dict(connection(ADDRESS))
    assert found["host"] == ADDRESS
    assert found["sslmode"] == "verify-full"
    assert found["sslrootcert"] == "/etc/anycastle/rds.pem"
    assert "password" not in found


def test_the_passfiles_line_is_for_the_connection_that_hosts_make() -> None:
    found = psycopg.conninfo.conninfo_to_dict(connection(ADDRESS))
    *key, password = passfile(ADDRESS, "a-b_c").split(":")
    assert key == [found["host"], found["port"], found["dbname"], found["user"]]
    assert password == "a-b_c"


def test_the_script_writes_the_files_that_the_connection_names() -> None:
    script = (Path(database.__file__).parents[1] / "scripts" / "database-rds.sh").read_text()
    found = psycopg.conninfo.conninfo_to_dict(connection(ADDRESS))
    assert f"write {found['passfile']} 0600" in script
    assert str(found["sslrootcert"]) in script


def test_each_region_has_its_own_certificates() -> None:
    assert certificates_url("us-east-1").endswith("/us-east-1/us-east-1-bundle.pem")


def test_anycast_addresses_that_the_accelerator_lacks_are_found() -> None:
    configured = (IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2"))
    assert foreign(["192.0.2.2", "192.0.2.3"], configured) == ["192.0.2.1"]
    assert foreign(["192.0.2.1", "192.0.2.2"], configured) == []
