"""`agent.sh` and `roll.sh`: who starts, restarts and reloads an agent, and when."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from components import script

STAND_INS = {
    "systemctl": 'echo "systemctl $*" >>"$DIARY"; case "$*" in *is-active*) test -e "$RUNS";; '
    'restart*) : >"$RUNS";; esac',
    "anycastle-agent": 'echo "anycastle-agent $1" >>"$DIARY"',
    "journalctl": "echo the log",
}


@dataclass
class Host:
    """A host in a folder: commands that only write down what was asked of them."""

    folder: Path

    def run(self, name: str, version: str = "1", spec: str = "{}") -> list[str]:
        """What the script did, without its questions."""
        variables = {"VERSION": version, "NODE_SPEC": spec, "TIMEOUT": "5"}
        text = script.compose(name, variables)
        for path in ("/run/", "/etc/"):
            text = text.replace(f"={path}", f"={self.folder}{path}")
            text = text.replace(f"write {path}", f"write {self.folder}{path}")
        diary = self.folder / "diary"
        diary.write_text("")
        environment = {
            "PATH": f"{self.folder / 'bin'}:{os.environ['PATH']}",
            "DIARY": str(diary),
            "RUNS": str(self.folder / "runs"),
        }
        subprocess.run(["sh", "-s"], input=text, text=True, env=environment, check=True)
        asked = diary.read_text().splitlines()
        return [line for line in asked if "is-active" not in line and "enable" not in line]

    def dies(self) -> None:
        (self.folder / "runs").unlink()


@pytest.fixture
def host(tmp_path: Path) -> Host:
    for folder in ("bin", "run", "etc/anycastle"):
        (tmp_path / folder).mkdir(parents=True)
    for name, body in STAND_INS.items():
        command = tmp_path / "bin" / name
        command.write_text(f"#!/bin/sh\n{body}\n")
        command.chmod(0o755)
    return Host(tmp_path)


START = ["systemctl restart anycastle-agent", "anycastle-agent wait-ready"]
READY = ["anycastle-agent wait-ready"]


def test_the_first_up_starts_once(host: Host) -> None:
    assert host.run("agent") == START
    assert (host.folder / "etc/anycastle/node.json").read_text() == "{}\n"
    assert host.run("roll") == READY


def test_a_new_version_is_left_to_the_roll(host: Host) -> None:
    host.run("agent")
    host.run("roll")
    assert host.run("agent", version="2") == []
    assert host.run("roll", version="2") == START
    assert host.run("roll", version="2") == READY


def test_a_new_spec_is_a_reload_in_the_roll(host: Host) -> None:
    host.run("agent")
    host.run("roll")
    assert host.run("agent", spec='{"a": 1}') == []
    assert (host.folder / "etc/anycastle/node.json").read_text() == '{"a": 1}\n'
    assert host.run("roll", spec='{"a": 1}') == ["systemctl reload anycastle-agent", *READY]
    assert host.run("roll", spec='{"a": 1}') == READY


def test_an_agent_that_does_not_run_is_started(host: Host) -> None:
    host.run("agent")
    host.dies()
    assert host.run("agent") == START
    host.dies()
    assert host.run("roll") == START


def test_after_a_reboot_the_roll_restarts_what_it_does_not_know(host: Host) -> None:
    host.run("agent")
    (host.folder / "run/anycastle-agent.applied").unlink()
    assert host.run("agent") == []
    assert host.run("roll") == START
