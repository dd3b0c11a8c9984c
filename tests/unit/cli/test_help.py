"""Help is part of the interface: every command has an example, and the texts are golden.

After a wanted change: UPDATE_GOLDEN=1 pytest tests/unit/cli/test_help.py
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from anycastle.cli.main import NOUNS, cli

GOLDEN = Path(__file__).parent / "help"


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield path
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, (*path, name))


ALL = list(commands(cli))
NOUNS_WITH_VERBS = {path[:1] for path in ALL if len(path) > 1}


@pytest.mark.parametrize("path", ALL, ids=lambda path: "-".join(path) or "anycastle")
def test_help_is_golden(api: Any, path: tuple[str, ...]) -> None:
    text = api.run(*path, "--help").stdout
    golden = GOLDEN / f"{'-'.join(('anycastle', *path))}.txt"
    if os.environ.get("UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text(), "UPDATE_GOLDEN=1 rewrites it"


@pytest.mark.parametrize(
    "path",
    [path for path in ALL if path not in NOUNS_WITH_VERBS],
    ids=lambda path: "-".join(path) or "anycastle",
)
def test_every_command_has_an_example(api: Any, path: tuple[str, ...]) -> None:
    text = api.run(*path, "--help").stdout
    assert "Example" in text
    assert f"anycastle {' '.join(path)}".strip() in text


def test_golden_folder_has_no_strays() -> None:
    known = {f"{'-'.join(('anycastle', *path))}.txt" for path in ALL}
    assert {file.name for file in GOLDEN.iterdir()} == known


def test_nouns_say_what_their_modules_say() -> None:
    context = click.Context(cli)
    for noun, line in NOUNS.items():
        command = cli.get_command(context, noun)
        assert command is not None
        assert command.get_short_help_str(limit=200) == line


def test_starts_without_what_it_does_not_need() -> None:
    """The reason that `--help` and completion are quick; a clock would be flaky."""
    code = (
        "import sys\n"
        "from anycastle.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'httpx', 'rich', 'segno', 'cryptography'} & set(sys.modules)))"
    )
    began = time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    assert run.stdout.splitlines()[-1] == "[]"
    assert time.monotonic() - began < 3, "ten times what it takes: something is badly wrong"
