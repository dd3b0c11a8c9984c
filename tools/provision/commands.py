"""The edge to the machine: runs commands for a step, everything they print goes into the step's log."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

TAIL_LINES = 12


class CommandFailed(Exception):
    """A command ended with a non-zero status, ran out of its time, or can't be started."""


class Log:
    """A log file that is made anew at each run of its step."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.file = path.open("wb", buffering=0)

    def write(self, text: str) -> None:
        self.file.write(text.encode())

    def tail(self, lines: int = TAIL_LINES) -> list[str]:
        """The last lines that say something."""
        text = self.path.read_text(errors="replace").splitlines()
        return [line for line in text if line.strip()][-lines:]

    def close(self) -> None:
        self.file.close()


class Shell:
    """Runs commands, one after the other, with the log as their output."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        """Something that the person should know although nothing failed."""
        self.notes.append(text)
        self.log.write(f"note: {text}\n")

    def capture(self, command: Sequence[str | Path], *, env: Mapping[str, str], cwd: Path) -> str:
        """The standard output of a command; raises CommandFailed like `run`."""
        words = [str(word) for word in command]
        self.log.write(f"$ {shlex.join(words)}\n")
        ended = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.log.file,
            env={**os.environ, **env},
            cwd=cwd,
            check=False,
        )
        if ended.returncode != 0:
            raise CommandFailed(f"{shlex.join(words[:3])} … ended with {ended.returncode}")
        return ended.stdout.decode()

    def run(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        timeout: float | None = None,
    ) -> None:
        """Raises CommandFailed unless the command ends with 0 within `timeout` seconds."""
        words = [str(word) for word in command]
        self.log.write(f"$ {shlex.join(words)}\n")
        try:
            ended = subprocess.run(
                words,
                stdin=subprocess.DEVNULL,
                stdout=self.log.file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                timeout=timeout,
                check=False,
            )
        except FileNotFoundError as error:
            raise CommandFailed(f"{words[0]}: not found ({error.filename})") from error
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"{words[0]} did not end within {timeout:.0f} s") from error
        if ended.returncode != 0:
            raise CommandFailed(f"{shlex.join(words[:3])} … ended with {ended.returncode}")


def output(command: Sequence[str | Path], *, timeout: float = 20) -> str | None:
    """What a command prints, or None when it is missing, fails or hangs."""
    try:
        ended = subprocess.run(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.decode(errors="replace") if ended.returncode == 0 else None
