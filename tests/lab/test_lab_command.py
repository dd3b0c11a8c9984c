"""`anycastle lab`: every host, exact arguments, exit codes, bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.lab import CHECKOUT, Lab

KINDS = {"node", "edge", "core", "nat", "control", "service", "client"}


def test_hosts(lab: Lab) -> None:
    hosts = lab.cli_json("lab", "hosts")
    assert {host["kind"] for host in hosts} == KINDS
    assert set(hosts[0]) == {"name", "kind", "datacentre", "site", "network_namespace", "address"}
    namespaces = subprocess.run(
        ["ip", "netns", "list"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert {host["network_namespace"] for host in hosts} <= set(namespaces)


def test_exec_works_for_every_host(lab: Lab) -> None:
    def name_of(host: str) -> str:
        done = lab.cli("lab", "exec", host, "--", "hostname")
        return done.stdout.decode().strip() or done.stderr.decode()

    with ThreadPoolExecutor(4) as pool:
        names = dict(zip(lab.hosts, pool.map(name_of, lab.hosts), strict=True))
    assert names == {host: host for host in lab.hosts}


@pytest.mark.parametrize("code", [0, 1, 7, 254])
def test_exec_hands_on_the_exit_code(lab: Lab, code: int) -> None:
    assert lab.cli("lab", "exec", "ams-1", "--", "sh", "-c", f"exit {code}").returncode == code


def test_exec_passes_bytes_through(lab: Lab) -> None:
    data = bytes(range(256)) * 400 + os.urandom(1 << 20)
    done = lab.cli("lab", "exec", "fra-1", "--", "cat", given=data)
    assert done.returncode == 0, done.stderr
    assert done.stdout == data


def test_exec_quotes_exactly(lab: Lab) -> None:
    arguments = ["a b", "$HOME", "*", "'", '"', "\\", "x\ny", "", "ü", "-n", ";", "&& true"]
    done = lab.cli("lab", "exec", "site1-c1", "--", "printf", "%s\\0", *arguments)
    assert done.stdout.decode().split("\0")[:-1] == arguments


def test_exec_keeps_stderr_apart(lab: Lab) -> None:
    done = lab.cli("lab", "exec", "ams-svc", "--", "sh", "-c", "echo out; echo err >&2")
    assert (done.stdout, done.stderr) == (b"out\n", b"err\n")


def test_exec_ends_with_its_reader(lab: Lab) -> None:
    """`… | head -1`: a broken pipe ends it, it does not hang."""
    line = '"$0" -m anycastle.cli lab exec core1 -- yes | head -1'
    done = subprocess.run(
        ["sh", "-c", line, sys.executable], capture_output=True, timeout=30, check=True,
        cwd=CHECKOUT, env=lab.environment,
    )  # fmt: skip
    assert done.stdout == b"y\n"


def test_unknown_host(lab: Lab) -> None:
    done = lab.cli("lab", "exec", "ams1", "--", "true")
    assert done.returncode == 3
    assert b"did you mean ams-1?" in done.stderr
