"""Colour only where somebody sees it; JSON that other programs read."""

from __future__ import annotations

import json
import sys
from ipaddress import ip_address

import pytest

from anycastle.cli import output


@pytest.mark.parametrize(
    ("terminal", "variables", "coloured"),
    [
        (True, {"TERM": "xterm-256color"}, True),
        (True, {"TERM": "xterm-256color", "NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (True, {}, False),
        (False, {"TERM": "xterm-256color"}, False),
    ],
)
def test_colour(
    terminal: bool,
    variables: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("TERM", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    output.print_table(["STATE"], [["DOWN"], ["UP"]])
    printed = capsys.readouterr().out
    assert ("\x1b[" in printed) is coloured
    assert "DOWN" in printed


def test_wide_tables_are_never_cut(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["A", "B"], [["x" * 300, "y" * 300]])
    assert capsys.readouterr().out.splitlines()[1] == "x" * 300 + "  " + "y" * 300


def test_cells(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["A", "B", "C", "D"], [[None, "", True, 0]])
    assert capsys.readouterr().out.splitlines()[1].split() == ["-", "-", "yes", "0"]


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_table(["A"], [["[red]x[/red] :smile:"]])
    assert "[red]x[/red] :smile:" in capsys.readouterr().out


def test_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"a": [ip_address("192.0.2.1")], "é": None})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"a": ["192.0.2.1"], "é": None}
    assert printed.startswith('{\n  "a": [\n')


def test_moments() -> None:
    assert output.iso(0) == "1970-01-01T00:00:00.000Z"
    assert output.iso(1767323045.25) == "2026-01-02T03:04:05.250Z"
