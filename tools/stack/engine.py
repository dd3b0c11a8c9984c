"""The edge to `pulumi`: runs it with a lab's variables, keeps its whole output, shows what matters."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.places import CHECKOUT
from tools.provision.result import Setup
from tools.stack import environment
from tools.stack.workspace import LabFault, Workspace

GRACE_SECONDS = 60.0

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
            process_group=0,  # a Ctrl-C reaches us alone; we hand it on once
        )
        with log.open("w", buffering=1) as file, process, deadline(process, seconds) as late:
            self.follow(process, file.write)
        return 124 if late.is_set() else process.wait()

    def follow(self, process: subprocess.Popen[str], keep: Callable[[str], Any]) -> None:
        """Hand on its output until it ends; an interrupted one is asked to end first."""
        assert process.stdout is not None
        filtered = Filter()
        try:
            for line in process.stdout:
                keep(line)
                if filtered.shows(line):
                    self.say(line.rstrip())
        except KeyboardInterrupt:
            self.say("interrupted: pulumi finishes what it has begun (Ctrl-C again: at once)")
            end(process)
            raise

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


@contextmanager
def deadline(process: subprocess.Popen[str], seconds: float | None) -> Iterator[threading.Event]:
    """Ends `process` after `seconds`; the event tells whether that happened."""
    late = threading.Event()

    def strike() -> None:
        late.set()
        end(process)

    timer = threading.Timer(seconds or 0, strike)
    timer.daemon = True
    if seconds is not None:
        timer.start()
    try:
        yield late
    finally:
        timer.cancel()


def end(process: subprocess.Popen[str]) -> None:
    """Interrupt pulumi, as Ctrl-C does, so that it saves its state; kill it if it does not end."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(timeout=GRACE_SECONDS)
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
    """Whether a process runs and is a pulumi (numbers are used again, and one may wait for its end)."""
    try:
        name, _, rest = (
            Path(f"/proc/{process}/stat").read_text().partition(" (")[2].rpartition(") ")
        )
    except OSError:
        return False
    return name.startswith("pulumi") and not rest.startswith("Z")


def free(lab: Workspace) -> None:
    """Remove the locks that interrupted runs left; raises LabFault when one is at work now."""
    gone, living = stale_locks(lab.locks, is_pulumi)
    if living:
        raise LabFault(
            f"a pulumi (process {living[0]}) is at work on the lab {lab.name}: wait for it"
        )
    for file in gone:
        file.unlink()


def end_others(lab: Workspace) -> None:
    """Interrupt a pulumi that works on this lab (an `up` whose `make` was killed), then kill it."""
    _, living = stale_locks(lab.locks, is_pulumi)
    for number, seconds in ((signal.SIGINT, GRACE_SECONDS), (signal.SIGKILL, 5.0)):
        left = [process for process in living if is_pulumi(process)]
        for process in left:
            with suppress(ProcessLookupError):
                os.kill(process, number)
        limit = time.monotonic() + seconds
        while any(is_pulumi(process) for process in left) and time.monotonic() < limit:
            time.sleep(0.1)
