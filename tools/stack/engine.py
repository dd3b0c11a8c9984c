"""The edge to `pulumi`: runs it with a lab's variables, keeps its whole output, shows what matters."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.places import CHECKOUT
from tools.provision.result import Setup
from tools.stack import environment
from tools.stack.workspace import LabFault, Workspace

# What of pulumi's plain progress a person wants to see: what is done, and what went wrong.
DONE = re.compile(
    r"^ *[-+~@=<>]* +\S+ \S+ \*{0,2}(created|updated|deleted|replaced|read|\S+ failed)\b"
)
REPORT = re.compile(r"^(Diagnostics|Resources|Outputs|Duration|error)\b")


@dataclass(frozen=True)
class Engine:
    """pulumi, as it works on one lab."""

    lab: Workspace
    setup: Setup
    say: Callable[[str], None]

    @property
    def command(self) -> str:
        for folder in self.setup.path:
            if (Path(folder) / "pulumi").exists():
                return str(Path(folder) / "pulumi")
        raise LabFault("set-up left no pulumi: run `make setup`")

    def quiet(self, *arguments: str, folder: Path = CHECKOUT) -> str:
        """What a short command prints; raises LabFault with its words."""
        ended = subprocess.run(
            [self.command, "--non-interactive", *arguments],
            cwd=folder,
            env=environment.for_child(self.lab, self.setup),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if ended.returncode != 0:
            raise LabFault(f"pulumi {' '.join(arguments)} failed:\n{ended.stderr.strip()}")
        return ended.stdout

    def watched(self, *arguments: str, seconds: float | None = None) -> int:
        """Run `up` or `destroy` in front of the person; returns its exit status.

        After `seconds` it is interrupted, as Ctrl-C would (status 124).
        """
        log = self.lab.logs / f"{arguments[0]}-{time.strftime('%Y%m%d-%H%M%S')}.log"
        self.say(f"pulumi {arguments[0]} (all of it: {environment.shown(log)})")
        process = subprocess.Popen(
            [self.command, "--non-interactive", "--color", "never", *arguments],
            cwd=CHECKOUT,
            env=environment.for_child(self.lab, self.setup),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            bufsize=1,
        )
        with log.open("w") as file:
            return self.follow(process, file.write, seconds)

    def follow(
        self, process: subprocess.Popen[str], keep: Callable[[str], Any], seconds: float | None
    ) -> int:
        assert process.stdout is not None
        end = time.monotonic() + seconds if seconds else None
        filtered = Filter()
        late = False
        try:
            for line in process.stdout:
                keep(line)
                if filtered.shows(line):
                    self.say(line.rstrip())
                if end is not None and time.monotonic() > end and not late:
                    late = True
                    process.send_signal(signal.SIGINT)
        except KeyboardInterrupt:
            stop(process)
            raise
        return 124 if late else process.wait()

    def outputs(self) -> dict[str, Any]:
        return dict(json.loads(self.quiet("stack", "output", "--json", "--show-secrets")))


class Filter:
    """Which lines of pulumi's output are shown: once its report has begun, all that follow."""

    def __init__(self) -> None:
        self.reporting = False
        self.seen: set[str] = set()

    def shows(self, line: str) -> bool:
        self.reporting = self.reporting or bool(REPORT.match(line))
        if self.reporting:
            return bool(line.strip()) and not noise(line)
        found = DONE.match(line)
        if found is None or found[0] in self.seen:
            return False
        self.seen.add(found[0])
        return True


def noise(line: str) -> bool:
    return "using pulumi-language-python from $PATH" in line


def stop(process: subprocess.Popen[str]) -> None:
    """End pulumi as a person's Ctrl-C has: it got the signal, too; wait until it has saved its state."""
    sys.stderr.write(
        "interrupted: pulumi finishes what it has begun (Ctrl-C again: stop at once)\n"
    )
    try:
        process.wait(timeout=60)
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        process.kill()
        process.wait()


def stale_locks(folder: Path, alive: Callable[[int], bool]) -> tuple[list[Path], list[int]]:
    """Pulumi's lock files whose process is gone, and the processes of the others."""
    gone: list[Path] = []
    living: list[int] = []
    for file in sorted(folder.rglob("*.json")) if folder.is_dir() else []:
        try:
            owner = int(json.loads(file.read_text())["pid"])
        except (ValueError, KeyError, TypeError):
            gone.append(file)  # cut off while it was written
            continue
        if alive(owner):
            living.append(owner)
        else:
            gone.append(file)
    return gone, living


def is_pulumi(process: int) -> bool:
    """Whether a process runs and is a pulumi (numbers are used again)."""
    try:
        return Path(f"/proc/{process}/comm").read_text().strip().startswith("pulumi")
    except OSError:
        return False


def free(lab: Workspace) -> None:
    """Remove the locks that interrupted runs left; raises LabFault when one is at work now."""
    gone, living = stale_locks(lab.locks, is_pulumi)
    if living:
        raise LabFault(
            f"a pulumi (process {living[0]}) is at work on the lab {lab.name}; wait for it"
        )
    for file in gone:
        file.unlink()
