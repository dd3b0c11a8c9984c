"""`pulumi preview`, and an `up` without a change, of the whole lab.

Peer: the same commands on an empty Pulumi program in Python, with the same CLI, language
host and backend kind: what Pulumi itself costs here.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.result import Result, quantile
from tests.support.lab import Lab

ROUNDS = 3
SECOND_UP_TARGET = 15.0
COMMANDS = {
    "preview": ("preview", "--expect-no-changes"),
    "second_up": ("up", "--yes", "--skip-preview", "--expect-no-changes"),
}


def run(lab: Lab) -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as directory:
        empty = _empty_program(lab, Path(directory))
        for name, command in COMMANDS.items():
            whole = [_seconds(lab, command, None, lab.environment) for _ in range(ROUNDS)]
            bare = [_seconds(lab, command, Path(directory), empty) for _ in range(ROUNDS)]
            yield Result(
                benchmark=f"pulumi.{name}",
                value=quantile(whole, 0.5),
                unit="s",
                peer="an empty program",
                peer_value=quantile(bare, 0.5),
                target=SECOND_UP_TARGET if name == "second_up" else None,
                notes=f"median of {ROUNDS}, {len(lab.hosts)} hosts",
            )


def _empty_program(lab: Lab, directory: Path) -> dict[str, str]:
    """Make it, and one `up` of it. Returns the environment for it."""
    (directory / "Pulumi.yaml").write_text("name: empty\nruntime: python\n")
    (directory / "__main__.py").write_text('"""Nothing."""\n')
    (directory / "state").mkdir()
    environment = lab.environment | {
        "PULUMI_BACKEND_URL": (directory / "state").as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": "benchmark",
        "PULUMI_STACK": "empty",
    }
    for name in ("PULUMI_OPTION_CONFIG_FILE", "PULUMI_CONFIG_PASSPHRASE_FILE"):
        environment.pop(name, None)
    _seconds(lab, ("stack", "init", "empty"), directory, environment)
    _seconds(lab, ("up", "--yes", "--skip-preview"), directory, environment)
    return environment


def _seconds(
    lab: Lab, command: tuple[str, ...], directory: Path | None, environment: Mapping[str, str]
) -> float:
    pulumi = shutil.which("pulumi", path=environment["PATH"]) or "pulumi"
    began = time.monotonic()
    done = subprocess.run(
        [pulumi, "--non-interactive", *command], cwd=directory or lab.checkout,
        env=dict(environment), capture_output=True, text=True, stdin=subprocess.DEVNULL,
        check=False,
    )  # fmt: skip
    took = time.monotonic() - began
    if done.returncode:
        raise RuntimeError(
            f"pulumi {' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
    return took
