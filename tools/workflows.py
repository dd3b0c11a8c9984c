"""`python -m tools.workflows`: actionlint on .github/workflows, built once from its Go module.

Beside what actionlint checks, every action has to be pinned by a whole commit, with its tag behind it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tools.places import CHECKOUT, LAB_ROOT, cache_root, digest_files
from tools.provision import go_toolchain, pulumi_cli
from tools.provision.commands import CommandFailed, Log, Shell

MODULE = CHECKOUT / "tools" / "actionlint"
PACKAGE = "github.com/rhysd/actionlint/cmd/actionlint"
WORKFLOWS = CHECKOUT / ".github" / "workflows"
USES = re.compile(r"^\s*(?:-\s+)?uses:\s*(?P<what>\S+)(?P<rest>.*)$")
PINNED = re.compile(r"^[\w.-]+/[\w./-]+@[0-9a-f]{40}$")
TAG = re.compile(r"^\s+# v\d+(\.\d+)*$")


def unpinned(text: str) -> Iterator[tuple[int, str]]:
    """(line, action) of what is not pinned; workflows of this repository (`./…`) are this commit's."""
    for number, line in enumerate(text.splitlines(), 1):
        found = USES.match(line)
        if found is None or found["what"].startswith("./"):
            continue
        if not PINNED.match(found["what"]) or not TAG.match(found["rest"]):
            yield number, found["what"]


def command() -> Path:
    """The built actionlint. Raises CommandFailed."""
    target = cache_root() / "actionlint" / digest_files([MODULE / "go.mod", MODULE / "go.sum"])
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        log = Log(LAB_ROOT / "logs" / "setup" / "actionlint.log")
        build(Shell(log), target)
        log.close()
    return target


def build(shell: Shell, target: Path) -> None:
    go = go_toolchain.find(shell, MODULE / "go.mod")
    partial = target.with_name(f"{target.name}.partial")
    words: list[str | Path] = [go, "build", "-mod=readonly", "-trimpath", "-ldflags", "-s -w"]
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        own = {"GOCACHE": f"{work}/build", "GOMODCACHE": f"{work}/modules"}
        environment = {**pulumi_cli.go_environment(), **own}
        shell.run([*words, "-o", partial, PACKAGE], cwd=MODULE, env=environment)
    partial.rename(target)


def main() -> int:
    files = sorted(WORKFLOWS.glob("*.y*ml"))
    loose = [
        f"{file.relative_to(CHECKOUT)}:{line}: {action} is not pinned by commit and `# vTAG`"
        for file in files
        for line, action in unpinned(file.read_text())
    ]
    print("\n".join(loose), end="\n" if loose else "")
    try:
        ended = subprocess.run([command(), "-color", *files], check=False).returncode
    except CommandFailed as error:
        sys.stderr.write(f"actionlint can't be built: {error}; log in .lab/logs/setup\n")
        return 1
    return int(bool(loose or ended))


if __name__ == "__main__":
    sys.exit(main())
