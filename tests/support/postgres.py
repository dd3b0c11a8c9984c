"""Debian's Postgres as an unprivileged user in a temporary directory, on a Unix socket only."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

BINARIES = Path("/usr/lib/postgresql/15/bin")
_numbers = itertools.count()


@contextmanager
def cluster() -> Iterator[Postgres]:
    """A running cluster that is gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix="acpg-", dir="/tmp"))
    postgres = Postgres(directory)
    try:
        postgres.create()
        postgres.start()
        yield postgres
        postgres.stop("immediate")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


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
