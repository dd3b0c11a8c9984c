"""anycastle-control as a process: output, exit codes, messages."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from anycastle.model import codec
from tests.support.control_plane import Api, World, make_authority


def _run(config: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "anycastle.control.main", "--config", str(config), *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


async def test_tokens_made_on_the_host_work(world: World, api: Api) -> None:
    config = world.config()
    made = _run(config, "token", "alice", "--role", "viewer")
    assert (made.returncode, made.stderr) == (0, "")
    assert (await api.call("GET", "/v1/status", token=made.stdout.strip())).status == 200
    again = _run(config, "join-token", "ams-1", "--expires-in", "60")
    assert again.returncode == 0
    assert again.stdout.startswith("anycastle-join-")


async def test_a_secret_from_stdin_is_idempotent_and_replaceable(world: World, api: Api) -> None:
    config = world.config()
    first, second = "f" * 40, "s" * 40
    arguments = ("token", "pulumi", "--role", "admin", "--secret-from-stdin")
    for _ in range(2):
        done = _run(config, *arguments, stdin=first + "\n")
        assert (done.returncode, done.stdout) == (0, "")
    assert (await api.call("GET", "/v1/tokens", token=first)).data.count(b'"pulumi"') == 1
    assert _run(config, *arguments, stdin=second).returncode == 0
    assert (await api.call("GET", "/v1/status", token=second)).status == 200
    replaced = await api.call("GET", "/v1/status", token=first)
    assert replaced.error == (401, "token_revoked", None)
    short = _run(config, *arguments, stdin="too short")
    assert (short.returncode, short.stderr) == (
        1,
        "anycastle-control: secret: shorter than 32 characters\n",
    )


async def test_check_and_migrate_say_what_they_found(world: World) -> None:
    config = world.config()
    assert _run(config, "migrate").stdout == "nothing to do\n"
    checked = _run(config, "check")
    assert checked.returncode == 0
    assert "deployment testing, revision 0" in checked.stdout
    assert "new epoch" in _run(config, "migrate", "--new-epoch").stdout


async def test_what_is_wrong_is_said_in_one_line(world: World, tmp_path: Path) -> None:
    absent = _run(tmp_path / "absent.json", "check")
    assert (absent.returncode, absent.stderr.count("\n")) == (1, 1)
    bad = tmp_path / "bad.json"
    plain = codec.to_plain(world.spec)
    bad.write_bytes(codec.to_json({**plain, "port": "many"}))
    refused = _run(bad, "check")
    assert (refused.returncode, refused.stderr) == (
        1,
        f"anycastle-control: {bad}: port: Expected `int`, got `str`\n",
    )
    make_authority(tmp_path / "other", "other")
    mixed = world.with_spec(ca_key_file=str(tmp_path / "other" / "ca.key")).config()
    assert "is not the key of" in _run(mixed, "serve").stderr
    away = world.with_spec(database="host=/nonexistent dbname=x").config()
    gone = _run(away, "migrate")
    assert gone.returncode == 1
    assert gone.stderr.startswith("anycastle-control: database: ")


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("token",), ("join-token", "n", "-x")])
def test_wrong_usage_exits_with_2(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    assert _run(tmp_path / "c.json", *arguments).returncode == 2


def test_help_teaches(tmp_path: Path) -> None:
    text = _run(tmp_path / "c.json", "--help").stdout
    assert "examples:" in text
    assert "join-token ams-1" in text
