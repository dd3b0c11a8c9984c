"""How `pulumi` is run and ended, with shell scripts in its place."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.places import CHECKOUT
from tools.provision.result import Setup
from tools.stack import engine, workspace
from tools.stack.engine import Engine
from tools.stack.workspace import LabFault, Workspace

SAVES = 'trap "echo saved >>$MARK; exit 9" INT\n'
HANGS = f"{SAVES}echo started\nwhile :; do sleep 0.05; done\n"


@pytest.fixture
def lab(tmp_path: Path) -> Workspace:
    lab = Workspace("fake", tmp_path / "lab")
    workspace.prepare(lab)
    return lab


def engine_with(script: str, lab: Workspace, tmp_path: Path, said: list[str]) -> Engine:
    folder = tmp_path / "bin"
    folder.mkdir(exist_ok=True)
    pulumi = folder / "pulumi"
    pulumi.write_text(f"#!/bin/sh\nMARK={tmp_path}/mark\n{script}")
    pulumi.chmod(0o755)
    return Engine(lab, Setup((str(folder),), "/home", "/image"), said.append)


def test_its_status_and_its_whole_output_are_kept(lab: Workspace, tmp_path: Path) -> None:
    said: list[str] = []
    script = 'echo "$*"; echo " +  lab:Host ams-1 created (2s)"; echo "error: no" >&2; exit 3\n'
    assert engine_with(script, lab, tmp_path, said).watched("up", "--yes") == 3
    log = next(lab.logs.glob("up-*.log")).read_text()
    assert log.splitlines()[0].endswith("up --yes")
    assert said[1:] == [" +  lab:Host ams-1 created (2s)", "error: no"]


def test_a_silent_one_is_ended_at_its_time(lab: Workspace, tmp_path: Path) -> None:
    began = time.monotonic()
    assert engine_with(HANGS, lab, tmp_path, []).watched("destroy", seconds=0.3) == 124
    assert time.monotonic() - began < 10
    assert (tmp_path / "mark").read_text() == "saved\n"


def test_one_that_does_not_listen_is_killed(
    lab: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "GRACE_SECONDS", 0.2)
    deaf = "trap '' INT\nwhile :; do sleep 0.05; done\n"
    assert engine_with(deaf, lab, tmp_path, []).watched("destroy", seconds=0.2) == 124


def test_a_killed_make_interrupts_pulumi_once(lab: Workspace, tmp_path: Path) -> None:
    engine_with(HANGS, lab, tmp_path, [])
    program = f"""
import signal
from pathlib import Path
from tools.provision.result import Setup
from tools.stack.engine import Engine
from tools.stack.workspace import Workspace
signal.signal(signal.SIGTERM, signal.default_int_handler)
lab = Workspace("fake", Path({str(lab.root)!r}))
Engine(lab, Setup(({str(tmp_path / "bin")!r},), "/h", "/i"), print).watched("up")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=CHECKOUT, stderr=subprocess.PIPE
    )
    wait_until_started(lab)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert (tmp_path / "mark").read_text() == "saved\n"


def wait_until_started(lab: Workspace) -> None:
    limit = time.monotonic() + 20
    while not any("started" in log.read_text() for log in lab.logs.glob("*.log")):
        assert time.monotonic() < limit
        time.sleep(0.05)


def test_an_orphan_of_a_killed_make_is_ended(lab: Workspace, tmp_path: Path) -> None:
    engine_with(HANGS, lab, tmp_path, [])
    orphan = subprocess.Popen([tmp_path / "bin" / "pulumi"], stdout=subprocess.PIPE)
    assert orphan.stdout is not None
    assert orphan.stdout.readline() == b"started\n"
    lab.locks.mkdir(parents=True)
    (lab.locks / "x.json").write_text(json.dumps({"pid": orphan.pid}))
    with pytest.raises(LabFault, match=str(orphan.pid)):
        engine.free(lab)
    assert orphan.poll() is None
    engine.end_others(lab)
    orphan.communicate(timeout=5)
    assert orphan.returncode == 9
    assert (tmp_path / "mark").read_text() == "saved\n"
    engine.free(lab)
    assert not list(lab.locks.iterdir())


def test_what_a_failed_short_command_said_is_told(lab: Workspace, tmp_path: Path) -> None:
    work = engine_with("echo no such stack >&2; exit 1\n", lab, tmp_path, [])
    with pytest.raises(LabFault, match="no such stack"):
        work.quiet("stack", "output")
