"""`lab`: which lab, which host, and the exact ssh command."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

HOSTS = [
    {"name": "ams-1", "kind": "node", "place": "ams", "netns": "ac-lab-ams-1",
     "address": "10.213.0.11", "ssh_key": ".lab/lab/ssh/id_ed25519", "user": "root",
     "host_key": "ssh-ed25519 AAAA"},
    {"name": "site1-c1", "kind": "client", "place": "site1", "netns": "ac-lab-site1-c1",
     "address": "10.213.0.31", "ssh_key": "/keys/id", "user": "root"},
    {"name": "core1", "kind": "core", "place": "", "netns": "ac-lab-core1",
     "address": "10.213.0.2", "ssh_key": "/keys/id", "user": "root"},
]  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / ".lab" / "lab"
    directory.mkdir(parents=True)
    (directory / "hosts.json").write_text(json.dumps(HOSTS))
    deep = tmp_path / "docs"
    deep.mkdir()
    monkeypatch.chdir(deep)
    monkeypatch.delenv("LAB", raising=False)
    monkeypatch.delenv("ANYCASTLE_LAB_DIR", raising=False)
    return directory


def test_hosts_json_shape(api: Any, lab: Path) -> None:
    printed = json.loads(api.run("lab", "hosts", "--json").stdout)
    assert printed[0] == {
        "name": "ams-1",
        "kind": "node",
        "datacentre": "ams",
        "site": None,
        "network_namespace": "ac-lab-ams-1",
        "address": "10.213.0.11",
    }
    assert (printed[1]["datacentre"], printed[1]["site"]) == (None, "site1")
    assert (printed[2]["datacentre"], printed[2]["site"]) == (None, None)


def test_hosts_table(api: Any, lab: Path) -> None:
    lines = api.run("lab", "hosts").stdout.splitlines()
    assert lines[1].split() == ["ams-1", "node", "ams", "ac-lab-ams-1", "10.213.0.11"]
    assert lines[3].split() == ["core1", "core", "-", "ac-lab-core1", "10.213.0.2"]


def test_exec_is_one_ssh_with_the_host_key_pinned(api: Any, lab: Path) -> None:
    api.run("lab", "exec", "ams-1", "--", "wg", "show", "--", "-x", "a b")
    [command] = api.executed
    assert command[:3] == ["ssh", "-i", str(lab / "ssh" / "id_ed25519")]
    assert command[-3:] == ["--", "root@10.213.0.11", "wg show -- -x 'a b'"]
    assert "StrictHostKeyChecking=yes" in command
    assert "KnownHostsCommand=/bin/echo 10.213.0.11 ssh-ed25519 AAAA" in command


def test_a_host_without_a_pinned_key_is_remembered_per_lab(api: Any, lab: Path) -> None:
    api.run("lab", "ssh", "core1")
    [command] = api.executed
    assert command[2] == "/keys/id"
    assert command[-2:] == ["--", "root@10.213.0.2"]
    assert f"UserKnownHostsFile={lab / 'ssh' / 'known_hosts'}" in command


@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_arguments_arrive_as_given(api: Any, lab: Path, arguments: list[str]) -> None:
    api.executed.clear()
    api.run("lab", "exec", "ams-1", "--", *arguments)
    assert shlex.split(api.executed[0][-1]) == arguments


def test_options_of_the_command_are_its_own(api: Any, lab: Path) -> None:
    api.run("lab", "exec", "ams-1", "ping", "-c", "3", "--json")
    assert api.executed[0][-1] == "ping -c 3 --json"


def test_unknown_host(api: Any, lab: Path) -> None:
    result = api.run("lab", "exec", "amsl", "--", "true")
    assert result.exit_code == 3
    assert "no host is called 'amsl' (did you mean ams-1?)" in result.stderr
    assert api.executed == []


def test_unknown_lab(api: Any, lab: Path) -> None:
    result = api.run("lab", "hosts", "--lab", "lap")
    assert result.exit_code == 3
    assert "no lab 'lap' here (did you mean lab?)" in result.stderr


def test_lab_by_environment(api: Any, lab: Path, tmp_path: Path) -> None:
    second = tmp_path / ".lab" / "second"
    second.mkdir()
    result = api.run("lab", "hosts", env={"LAB": "second"})
    assert result.exit_code == 3
    assert "lab 'second' is not up" in result.stderr
    (second / "hosts.json").write_text(json.dumps(HOSTS[:1]))
    assert api.run("lab", "hosts", env={"LAB": "second"}).exit_code == 0


def test_sourced_lab_is_found_from_anywhere(
    api: Any, lab: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert api.run("lab", "hosts").exit_code == 3
    assert api.run("lab", "hosts", env={"ANYCASTLE_LAB_DIR": str(lab)}).exit_code == 0


def test_broken_inventory(api: Any, lab: Path) -> None:
    (lab / "hosts.json").write_text('[{"name": 1}]')
    result = api.run("lab", "hosts")
    assert result.exit_code == 1
    assert "[0].name" in result.stderr


def test_exec_needs_a_command(api: Any, lab: Path) -> None:
    assert api.run("lab", "exec", "ams-1").exit_code == 2
