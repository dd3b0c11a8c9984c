"""A preview from nothing: what has to be recorded first, then the preview itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tools.places import CHECKOUT, VENV
from tools.preview import config, workspace
from tools.preview.engine import PreviewFailed, Pulumi
from tools.provision.result import Setup

Document = Mapping[str, Any]


def stacks(folder: Path = CHECKOUT / "stacks") -> list[str]:
    """Every stack that has a file."""
    return sorted(file.name.split(".")[1] for file in folder.glob("Pulumi.*.yaml"))


def document(stack: str, checkout: Path) -> dict[str, Any]:
    """The stack's configuration. Raises PreviewFailed."""
    file = checkout / "stacks" / f"Pulumi.{stack}.yaml"
    try:
        return dict(yaml.safe_load(file.read_text()) or {})
    except (yaml.YAMLError, ValueError) as error:
        raise PreviewFailed(f"{file.name} is not YAML: {error}") from error


def documents(checkout: Path = CHECKOUT) -> dict[str, Document]:
    """Every stack's configuration. Raises PreviewFailed."""
    return {name: document(name, checkout) for name in stacks(checkout / "stacks")}


@dataclass(frozen=True)
class Scene:
    """A program and all its stacks' configuration: how things are, or were before a change."""

    documents: Mapping[str, Document]
    checkout: Path = CHECKOUT

    def set_up(self, work: Pulumi) -> Pulumi:
        """Give the workspace these settings; returns a pulumi on this program."""
        for name, wanted in self.documents.items():
            work.settings(name, config.prepared(wanted))
        return replace(work, checkout=self.checkout)


@dataclass
class Rehearsal:
    """Previews of stacks of `now`, from nothing or against the state that `before` would have left.

    recorded: checkpoints of stacks that others read, which are the same for all of them.
    """

    setup: Setup
    now: Scene
    before: Scene | None = None
    recorded: dict[str, bytes] = field(default_factory=dict)

    @contextmanager
    def staged(self, stack: str) -> Iterator[Pulumi]:
        """A pulumi that is ready to preview `stack`. Raises PreviewFailed."""
        with workspace.temporary() as place:
            bare = Pulumi(place, self.setup)
            work = self.now.set_up(bare)
            source = config.reads(self.now.documents[stack])
            if source is not None:
                self._fill(work, source)
            if self.before is not None and stack in self.before.documents:
                self._record(self.before.set_up(bare), stack, self.before)
                work = self.now.set_up(bare)
            for other in config.siblings(stack, self.now.documents):
                if not work.checkpoint(other).exists():
                    work.make(other)
            work.configure(stack, config.prepared(self.now.documents[stack]))
            yield work

    def _fill(self, work: Pulumi, source: str) -> None:
        """Put a stack that others read into their workspace, as if it were up."""
        if source not in self.recorded:
            if source not in self.now.documents:
                raise PreviewFailed(f"there is no stack {source!r}, which another one reads")
            with workspace.temporary() as place:
                own = self.now.set_up(Pulumi(place, self.setup))
                self._record(own, source, self.now)
                self.recorded[source] = own.checkpoint(source).read_bytes()
        work.checkpoint(source).parent.mkdir(parents=True, exist_ok=True)
        work.checkpoint(source).write_bytes(self.recorded[source])

    def _record(self, work: Pulumi, stack: str, scene: Scene) -> None:
        """Pretend that the stack is up, and what it reads before it."""
        if config.is_lab(scene.documents[stack]):
            raise PreviewFailed(
                f"{stack} is a lab: its hosts are of this machine, and can't be pretended. "
                "`make lab` and `pulumi preview` show what a change does to it"
            )
        for name in [*config.siblings(stack, scene.documents), stack]:
            if not work.checkpoint(name).exists():
                work.configure(name, config.prepared(scene.documents[name]))
                work.record(name)


@contextmanager
def checkout_of(revision: str) -> Iterator[Path]:
    """The tree of a commit, in a folder that is gone afterwards. Raises PreviewFailed."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=CHECKOUT, capture_output=True, check=False
    )
    if archive.returncode:
        raise PreviewFailed(f"git knows no {revision!r}: {archive.stderr.decode().strip()}")
    with workspace.folder("base-") as root:
        subprocess.run(["tar", "--extract", "--directory", root], input=archive.stdout, check=True)
        (root / ".venv").symlink_to(VENV)  # Pulumi.yaml names it
        yield root
