from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools.provision.result import Setup
from tools.stack import engine, environment, workspace
from tools.stack.down import down
from tools.stack.engine import Filter, stale_locks
from tools.stack.up import Standing, read, summary
from tools.stack.workspace import DEFAULT, LabFault, Workspace

SETUP = Setup(
    path=("/checkout/.venv/bin", "/cache/pulumi bin"), pulumi_home="/home", image="/image"
)
HOSTS: list[dict[str, Any]] = [
    {"name": "site1-c1", "kind": "client", "place": "site1", "address": "10.213.0.9"},
    {"name": "control", "kind": "control", "place": None, "address": "10.213.0.4"},
    {"name": "ams-1", "kind": "node", "place": "ams", "address": "10.213.0.2"},
]
OUTPUTS = {
    "anycast": ["192.0.2.1", "2001:db8:a::1"],
    "hosts": HOSTS,
    "control_ca": "PEM",
    "operator_token": "secret",
}


@pytest.mark.parametrize("name", ["", "Lab", "1lab", "a_b", "../x", "a" * 21])
def test_a_lab_s_name_is_checked(name: str) -> None:
    with pytest.raises(LabFault, match="LAB="):
        Workspace(name)


def test_prepare_makes_what_the_program_needs_and_keeps_it(tmp_path: Path) -> None:
    lab = Workspace("other", tmp_path)
    workspace.prepare(lab)
    key = lab.key.read_text()
    lab.config.write_text("config: {}\n")
    workspace.prepare(lab)
    assert lab.key.read_text() == key
    assert stat.S_IMODE(lab.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(lab.folder.stat().st_mode) == 0o700
    assert lab.config.read_text() == "config: {}\n"


def test_clear_keeps_logs_and_an_edited_configuration(tmp_path: Path) -> None:
    for edited in (True, False):
        lab = Workspace("other", tmp_path)
        workspace.prepare(lab)
        if edited:
            lab.config.write_text("config: {}\n")
        else:
            shutil.copyfile(workspace.TRACKED_CONFIG, lab.config)
        workspace.clear(lab)
        left = {entry.name for entry in lab.folder.iterdir()}
        assert left == ({"logs", "stack.yaml"} if edited else {"logs"})


def test_the_default_lab_uses_the_tracked_file(tmp_path: Path) -> None:
    lab = Workspace(DEFAULT, tmp_path)
    assert lab.config == workspace.TRACKED_CONFIG
    workspace.prepare(lab)
    workspace.clear(lab)
    assert workspace.TRACKED_CONFIG.exists()
    assert "PULUMI_OPTION_CONFIG_FILE" not in environment.variables(lab, SETUP)


def test_the_env_file_works_in_a_plain_shell_and_twice(tmp_path: Path) -> None:
    lab = Workspace("other", tmp_path)
    workspace.prepare(lab)
    (lab.folder / "operator.token").write_text("tok en\n")
    (lab.folder / "env").write_text(environment.shell_text(lab, SETUP, "https://10.0.0.1:8443"))
    printed = subprocess.run(
        ["/bin/sh", "-euc", f". {lab.folder}/env; . {lab.folder}/env; env -0"],
        capture_output=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "PULUMI_CONFIG_PASSPHRASE": "disturbs"},
    ).stdout.decode()
    found = dict(item.split("=", 1) for item in printed.split("\0") if item)
    assert found["PATH"] == "/checkout/.venv/bin:/cache/pulumi bin:/usr/bin:/bin"
    assert found["PULUMI_STACK"] == found["LAB"] == "other"
    assert found["PULUMI_OPTION_CONFIG_FILE"] == str(lab.config)
    assert found["ANYCASTLE_TOKEN"] == "tok en"
    assert found["ANYCASTLE_URL"] == "https://10.0.0.1:8443"
    assert "PULUMI_CONFIG_PASSPHRASE" not in found


def test_another_lab_s_variables_do_not_reach_our_pulumi(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PULUMI_OPTION_CONFIG_FILE", "/other/stack.yaml")
    monkeypatch.setenv("ANYCASTLE_LAB_DIR", "/other")
    found = environment.for_child(Workspace(DEFAULT, tmp_path), SETUP)
    assert "PULUMI_OPTION_CONFIG_FILE" not in found
    assert found["ANYCASTLE_LAB_DIR"] == str(tmp_path / DEFAULT)


def test_only_one_at_a_time(tmp_path: Path) -> None:
    lab = Workspace("other", tmp_path)
    with workspace.alone(lab), pytest.raises(LabFault, match="at work"), workspace.alone(lab):
        pass
    with workspace.alone(lab):
        pass


def test_locks_of_dead_processes_are_stale(tmp_path: Path) -> None:
    for name, text in (("a", '{"pid": 11}'), ("b", '{"pid": 22}'), ("c", '{"pi')):
        (tmp_path / f"{name}.json").write_text(text)
    gone, living = stale_locks(tmp_path, lambda process: process == 22)
    assert [file.name for file in gone] == ["a.json", "c.json"]
    assert living == [22]


def test_this_test_is_no_pulumi() -> None:
    assert not engine.is_pulumi(os.getpid())
    assert not engine.is_pulumi(2**22 + 1)


def test_a_live_pulumi_is_not_disturbed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Workspace("other", tmp_path)
    lab.locks.mkdir(parents=True)
    lock = lab.locks / "x.json"
    lock.write_text('{"pid": 22}')
    monkeypatch.setattr(engine, "is_pulumi", lambda _: True)
    with pytest.raises(LabFault, match="process 22"):
        engine.free(lab)
    monkeypatch.setattr(engine, "is_pulumi", lambda _: False)
    engine.free(lab)
    assert not lock.exists()


def test_of_pulumi_s_output_what_is_done_is_shown_once_and_reports_whole() -> None:
    text = """\
 +  pulumi:pulumi:Stack anycastle-lab creating (0s)
@ updating....
 +  lab:Host ams-1 creating (0s)
 +  lab:Host ams-1 created (2s)
 +  lab:Host ams-1 created (2s)
 +  command:remote:Command ams-2 **creating failed** error: Process exited
Diagnostics:
  pulumi:pulumi:Stack (anycastle-lab):
    warning: using pulumi-language-python from $PATH at /x

  command:remote:Command (ams-2):
    error: Process exited with status 3
Resources:
    + 1 created
"""
    filtered = Filter()
    shown = [line.strip() for line in text.splitlines() if filtered.shows(line)]
    assert shown == [
        "+  lab:Host ams-1 created (2s)",
        "+  command:remote:Command ams-2 **creating failed** error: Process exited",
        "Diagnostics:",
        "pulumi:pulumi:Stack (anycastle-lab):",
        "command:remote:Command (ams-2):",
        "error: Process exited with status 3",
        "Resources:",
        "+ 1 created",
    ]


def test_the_summary_tells_what_to_type_next(tmp_path: Path) -> None:
    standing = read(OUTPUTS)
    assert standing.api == "https://10.213.0.4:8443"
    text = summary(Workspace(DEFAULT), standing)
    assert [line.split()[0] for line in text.splitlines()[1:5]] == [
        "HOST",
        "ams-1",
        "control",
        "site1-c1",
    ]
    assert "anycast addresses: 192.0.2.1, 2001:db8:a::1" in text
    assert "source .lab/env && anycastle status" in text
    assert "lab exec site1-c1" in text


def test_a_missing_output_is_the_program_s_fault() -> None:
    with pytest.raises(LabFault, match="control_ca"):
        read({name: value for name, value in OUTPUTS.items() if name != "control_ca"})


def test_no_control_host_no_api() -> None:
    assert Standing([], HOSTS[:1], "", "").api is None


def test_down_of_a_lab_that_never_was_leaves_nothing(tmp_path: Path) -> None:
    lab = Workspace("never-was", tmp_path)
    down(lab, None)
    assert json.dumps([str(path) for path in tmp_path.iterdir()]) == "[]"
