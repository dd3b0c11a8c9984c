"""User data: what is in it, and what may not be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from components.aws import texts

IMAGE_PACKAGES = Path(__file__).parents[4] / "tools" / "image" / "packages.txt"
USER_DATA_MAX = 16384
"""Bytes that EC2 takes."""
TEXT = texts.user_data(
    "dub-1", "ssh-ed25519 AAAA", "anycastle/prod/hosts/dub-1/host-key", "eu-west-1", ("bird2",)
)


def document() -> dict[str, Any]:
    first, _, rest = TEXT.partition("\n")
    assert first == "#cloud-config"
    parsed: dict[str, Any] = yaml.safe_load(rest)
    assert parsed == json.loads(rest)
    return parsed


def test_it_has_names_of_secrets_and_no_secret() -> None:
    assert "PRIVATE KEY" not in TEXT
    assert document()["ssh_authorized_keys"] == ["ssh-ed25519 AAAA"]
    assert len(TEXT.encode()) < USER_DATA_MAX


def test_sshd_has_one_host_key_the_fetched_one() -> None:
    found = document()
    assert (found["ssh_deletekeys"], found["ssh_genkeytypes"]) == (True, [])
    (command,) = found["bootcmd"]
    assert command[:5] == ["cloud-init-per", "instance", "host-key", "python3", "-c"]
    assert command[-2:] == ["anycastle/prod/hosts/dub-1/host-key", "eu-west-1"]
    compile(command[5], "host_key.py", "exec")


def test_nobody_logs_in_with_a_password() -> None:
    assert document()["ssh_pwauth"] is False


def test_hosts_get_packages_that_the_labs_have_too() -> None:
    lines = (line.partition("#")[0].strip() for line in IMAGE_PACKAGES.read_text().splitlines())
    lab = {line for line in lines if line}
    # Real hosts keep their own clocks; the API's database is a service there.
    elsewhere = {"chrony", "postgresql-client"}
    assert set(texts.NODE_PACKAGES) | set(texts.CONTROL_PACKAGES) <= lab | elsewhere
