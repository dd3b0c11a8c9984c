"""The edge to `pulumi` in a preview's workspace."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tools.places import CHECKOUT
from tools.preview import summary, workspace
from tools.preview.config import PROJECT
from tools.preview.summary import Preview
from tools.preview.workspace import Workspace
from tools.provision.result import Setup

POLICY = CHECKOUT / "policy" / "pulumi-analyzer-anycastle"


class PreviewFailed(Exception):
    """Pulumi could not do what a preview needs before it; the text is Pulumi's."""


@dataclass(frozen=True)
class Pulumi:
    """pulumi, on the program of `checkout`, in one workspace."""

    place: Workspace
    setup: Setup
    checkout: Path = CHECKOUT

    def configure(self, stack: str, document: Mapping[str, Any]) -> None:
        """Make the stack where there is none; its configuration is `document` from now on."""
        salted = self.place.root / "init" / f"Pulumi.{stack}.yaml"
        self.make(stack)
        salt = yaml.safe_load(salted.read_text())
        self.settings(stack, {**document, **salt})

    def settings(self, stack: str, document: Mapping[str, Any]) -> None:
        """The configuration of a stack that others see."""
        self.place.config(stack).write_text(yaml.safe_dump(dict(document), sort_keys=False))

    def make(self, stack: str) -> None:
        """An empty stack, unless it is there. `stack init` writes beside a project: not into ours."""
        init = self.place.root / "init"
        if not (init / f"Pulumi.{stack}.yaml").exists():
            (init / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
            self._done("stack", "init", "--no-select", stack, folder=init)

    def preview(self, stack: str, *, policy: bool = True) -> Preview:
        events = self.place.root / f"{stack}.events"
        words = ["preview", "--json", "--event-log", str(events)]
        if policy:
            words += ["--policy-pack", str(POLICY)]
        began = time.monotonic()
        ended = self._run(*words, "--stack", stack, "--config-file", str(self.place.config(stack)))
        took = time.monotonic() - began
        log = events.read_text() if events.exists() else ""
        found = summary.read(stack, took, ended.stdout, log, ended.stderr)
        if ended.returncode and found.passed:
            raise PreviewFailed(f"pulumi preview of {stack} failed:\n{ended.stderr.strip()}")
        return found

    def shown(self, stack: str) -> str:
        """Pulumi's own display of the whole difference."""
        words = ["preview", "--diff", "--color", "never", "--suppress-progress"]
        return self._run(
            *words, "--stack", stack, "--config-file", str(self.place.config(stack))
        ).stdout

    def record(self, stack: str) -> None:
        """Pretend that the stack is up. Raises PreviewFailed."""
        words = ["up", "--yes", "--skip-preview", "--suppress-outputs", "--color", "never"]
        self._done(
            *words, "--stack", stack, "--config-file", str(self.place.config(stack)), pretend=True
        )

    def checkpoint(self, stack: str) -> Path:
        """Where the backend keeps a stack's state."""
        return self.place.state / ".pulumi" / "stacks" / PROJECT / f"{stack}.json"

    def _done(self, *words: str, folder: Path | None = None, pretend: bool = False) -> None:
        ended = self._run(*words, folder=folder, pretend=pretend)
        if ended.returncode:
            said = f"{ended.stdout.strip()}\n{ended.stderr.strip()}"
            raise PreviewFailed(f"pulumi {words[0]} failed:\n{said}")

    def _run(
        self, *words: str, folder: Path | None = None, pretend: bool = False
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._command(), "--non-interactive", *words],
            cwd=folder or self.checkout,
            env=workspace.variables(self.place, self.setup.path, self.checkout, pretend=pretend),
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )

    def _command(self) -> str:
        for folder in self.setup.path:
            if (Path(folder) / "pulumi").exists():
                return str(Path(folder) / "pulumi")
        raise PreviewFailed("set-up left no pulumi: run `make setup`")
