"""The units that come with the control plane's software."""

from __future__ import annotations

import configparser
from pathlib import Path

from anycastle.control import main

UNITS = Path(main.__file__).parent / "units"


def unit(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string((UNITS / name).read_text())
    return parser


def test_the_timer_starts_the_export_and_comes_back() -> None:
    timer = unit("anycastle-export.timer")
    assert timer["Timer"]["OnUnitActiveSec"] == "5min"
    assert timer["Install"]["WantedBy"] == "timers.target"
    service = unit("anycastle-export.service")["Service"]
    assert service["Type"] == "oneshot"
    command = service["ExecStart"].split()
    assert command[0] == "/usr/local/bin/anycastle-control"
    assert main._parser().parse_args(command[1:]).command == "export-events"


def test_the_export_runs_as_the_api_does_and_may_do_no_more() -> None:
    api, export = (unit(f"anycastle-{name}.service")["Service"] for name in ("control", "export"))
    same = ("User", "Group", "ProtectSystem", "NoNewPrivileges", "RestrictAddressFamilies")
    assert {key: export[key] for key in same} == {key: api[key] for key in same}
    assert export["CapabilityBoundingSet"] == ""
