"""The node's command line, as far as it needs no node."""

import subprocess
import sys
from pathlib import Path

import pytest

from anycastle.agent import asking, assembly, draining, main
from anycastle.agent.health import machine
from anycastle.model.node import ControlEndpoint
from tests.support.loop_world import write_settings
from tests.support.node import node_spec

UNITS = Path(main.__file__).parent / "units"


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "anycastle.agent.main", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=UNITS.parents[2],
    )


def test_help_has_examples_and_exit_codes() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "wait-ready --timeout 60" in done.stdout
    assert "exit codes:" in done.stdout


def test_wrong_usage_is_exit_code_2() -> None:
    assert run("sleep").returncode == 2


def test_run_without_settings_says_what_is_missing(tmp_path: Path) -> None:
    done = run("--settings", str(tmp_path), "run")
    assert done.returncode == 1
    assert "node.json: No such file or directory: bootstrap" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_of_bad_settings(tmp_path: Path) -> None:
    write_settings(tmp_path, node_spec())
    (tmp_path / "service.key").write_text("nonsense")
    done = run("--settings", str(tmp_path), "check")
    assert done.returncode == 1
    assert "bad   " in done.stdout
    assert "service.key" in done.stdout


def test_check_names_what_is_missing(tmp_path: Path) -> None:
    import msgspec

    ca = str(tmp_path / "ca.pem")
    control = ControlEndpoint(urls=("https://198.51.100.17:8443",), ca_file=ca)
    write_settings(tmp_path, msgspec.structs.replace(node_spec(), control=control))
    done = run("--settings", str(tmp_path), "check")
    assert done.returncode == 1
    assert f"bad   {ca}: the control plane's CA certificate is missing" in done.stdout
    assert "others than root can read it" in done.stdout
    (tmp_path / "ca.pem").write_text("x")
    (tmp_path / "service.key").chmod(0o600)
    assert "bad" not in run("--settings", str(tmp_path), "check").stdout


def test_waiting_for_an_agent_that_is_not_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "journal", lambda: "level=error event=boom")
    assert asking.wait_ready(1, 0.3) == 1
    shown = capsys.readouterr().err
    assert "level=error event=boom" in shown
    assert shown.splitlines()[-1].startswith("anycastle-agent: not ready after 0 s: the agent does")


def test_status_of_an_agent_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    assert asking.status(1, as_json=True) == 1
    assert "does not answer on port 1" in capsys.readouterr().err


def test_units_restart_for_ever_and_nothing_dies_with_the_agent() -> None:
    for name in ("anycastle-agent.service", "anycastle-wireguard@.service"):
        text = (UNITS / name).read_text()
        assert "Restart=always" in text
        assert "StartLimitIntervalSec=0" in text
        assert "StandardInput=null" in text
    assert "WG_" not in (UNITS / "anycastle-wireguard@.service").read_text()
    agent = (UNITS / "anycastle-agent.service").read_text()
    assert "KillMode=mixed" in agent
    assert "RuntimeDirectoryPreserve=yes" in agent


def settings_of(unit: str) -> dict[str, str]:
    lines = (UNITS / unit).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_a_shutdown_stops_the_agent_first_and_gives_it_time_to_drain() -> None:
    agent = settings_of("anycastle-agent.service")
    assert {"network.target", "bird.service", "frr.service"} <= set(agent["After"].split())
    wireguard = settings_of("anycastle-wireguard@.service")
    assert wireguard["Before"] == "anycastle-agent.service"
    longest = machine.DRAIN_WAIT + draining.STOP_LIMIT + assembly.PATIENCE
    assert float(agent["TimeoutStopSec"]) > 1.5 * longest


READY = {"ready": False, "state": "DRAINING", "reason": "asked to drain: new disk", "revision": 7}


@pytest.mark.parametrize(
    ("drain", "ready"),
    [({"ready": True}, True), ({"ready": False}, False), (None, False)],
)
def test_a_drained_node_that_could_serve_is_ready_as_asked(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    drain: dict[str, bool] | None,
    ready: bool,
) -> None:
    body = READY | {"probes": [], "drain": drain}
    monkeypatch.setattr(asking, "get", lambda _port, _path: (503, body))
    monkeypatch.setattr(asking, "journal", lambda: "")
    assert asking.wait_ready(1, 0.3) == (0 if ready else 1)
    shown = capsys.readouterr()
    if ready:
        assert shown.out == (
            "DRAINING as asked (asked to drain: new disk), revision 7: not in service until"
            " `anycastle node resume` brings it back\n"
        )
    else:
        assert "not ready after 0 s: DRAINING: asked to drain: new disk" in shown.err
