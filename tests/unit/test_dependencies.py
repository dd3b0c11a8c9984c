"""docs/dependencies.md has a line for every direct dependency, and none for another."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "dependencies.md"
LISTS = (
    *sorted((ROOT / "requirements").glob("*.in")),
    ROOT / "tools" / "image" / "packages.txt",
    *sorted((ROOT / "tools" / "provision" / "packages").glob("*.txt")),
)


def names(path: Path) -> set[str]:
    """Packages of a list: one a line, with comments, extras and references to other lists."""
    lines = (line.partition("#")[0].strip() for line in path.read_text().splitlines())
    return {re.split(r"[\[<>=~!; ]", line, maxsplit=1)[0] for line in lines if line[:1].isalpha()}


def described() -> dict[str, str]:
    """Package -> what it is for, of all tables of the page."""
    rows = re.findall(r"^\| ([A-Za-z0-9._+-]+) \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    return {name: purpose for name, purpose in rows if name != "package"}


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_every_dependency_has_a_line(path: Path) -> None:
    missing = names(path) - set(described())
    assert not missing, (
        f"{path.relative_to(ROOT)}: say in docs/dependencies.md what {sorted(missing)} are for, "
        "and why these"
    )


def test_no_line_is_left_over() -> None:
    wanted = set().union(*map(names, LISTS))
    assert set(described()) - wanted == set(), "these are nobody's dependency any more"


def test_every_line_says_what_for() -> None:
    assert [name for name, purpose in described().items() if not purpose.strip()] == []
