from __future__ import annotations

import subprocess
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from components import script

SCRIPTS = Path(script.__file__).parent / "scripts"
TEXT = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=200)


def shell(text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "-s"], input=text, text=True, capture_output=True, check=False, timeout=10
    )


@settings(max_examples=50, deadline=None)
@given(TEXT)
def test_a_variable_reaches_the_script_as_it_is(value: str) -> None:
    text = script.wrap({"VALUE": value}, "printf '%s.' \"$VALUE\"\n")
    done = subprocess.run(
        ["sh", "-s"], input=text.encode(), capture_output=True, check=True, timeout=10
    )
    assert done.stdout.decode() == value + "."


def test_a_command_can_not_eat_the_rest_of_the_script() -> None:
    done = shell(script.wrap({}, "cat\necho after\n"))
    assert done.stdout == "after\n"


def test_a_scripts_failure_is_the_shells() -> None:
    done = shell(script.wrap({}, "set -e\nfalse\necho not reached\n"))
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("name", ["lower", "A-B", "A;B", ""])
def test_a_variable_needs_a_proper_name(name: str) -> None:
    with pytest.raises(ValueError, match="no name for a script's variable"):
        script.wrap({name: "x"}, "")


def test_every_script_composes_and_parses() -> None:
    names = sorted(path.stem for path in SCRIPTS.glob("*.sh") if path.stem != "write")
    assert "agent" in names
    for name in names:
        parsed = subprocess.run(
            ["sh", "-n"], input=script.compose(name, {"X": "1"}), text=True, check=False
        )
        assert parsed.returncode == 0, name


def write(path: Path, mode: str, text: str, directory: Path) -> tuple[int, str]:
    """Exit code and standard error of `write` alone."""
    body = (SCRIPTS / "write.sh").read_text() + 'write "$FILE" "$MODE" "$TEXT"\n'
    done = shell(script.wrap({"FILE": str(path), "MODE": mode, "TEXT": text}, body))
    assert not list(directory.rglob(".write.*")), "a temporary file is left"
    return done.returncode, done.stderr


def test_write_makes_a_file_with_its_mode_and_its_folder(tmp_path: Path) -> None:
    file = tmp_path / "etc" / "secret"
    assert write(file, "0600", "a\nb", tmp_path) == (0, "")
    assert file.read_text() == "a\nb\n"
    assert file.stat().st_mode & 0o777 == 0o600


def test_write_says_when_the_text_was_there_already_and_mends_the_mode(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write(file, "0644", "same", tmp_path)
    before = file.stat()
    assert write(file, "0600", "same", tmp_path) == (1, "")
    assert file.stat().st_ino == before.st_ino
    assert file.stat().st_mode & 0o777 == 0o600


def test_write_replaces_a_file_in_one_step(tmp_path: Path) -> None:
    file = tmp_path / "file"
    write(file, "0644", "old", tmp_path)
    before = file.stat().st_ino
    assert write(file, "0644", "new", tmp_path) == (0, "")
    assert file.read_text() == "new\n"
    assert file.stat().st_ino != before


def test_write_that_fails_ends_the_script_with_another_code(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    code, error = write(tmp_path / "file" / "below", "0644", "x", tmp_path)
    assert code == 2
    assert "file" in error
