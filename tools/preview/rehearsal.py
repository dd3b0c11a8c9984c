"""A preview from nothing: what has to be recorded first, then the preview itself."""

from __future__ import annotations

import io
import subprocess
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from tools.places import CHECKOUT
from tools.preview import config, workspace
from tools.preview.engine import PreviewFailed, Pulumi
from tools.provision.result import Setup

Document = Mapping[str, Any]


def stacks(folder: Path = CHECKOUT / "stacks") -> list[str]:
    """Every stack that has a file."""
    return sorted(file.name.split(".")[1] for file in folder.glob("Pulumi.*.yaml"))


def document(stack: str, checkout: Path = CHECKOUT) -> dict[str, Any]:
    """The stack's configuration. Raises PreviewFailed."""
    file = checkout / "stacks" / f"Pulumi.{stack}.yaml"
    try:
        return dict(yaml.safe_load(file.read_text()) or {})
    except FileNotFoundError as error:
        known = ", ".join(stacks(checkout / "stacks"))
        raise PreviewFailed(f"there is no stack {stack!r}; known: {known}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise PreviewFailed(f"{file.name} is not YAML: {error}") from error


@dataclass
class Rehearsal:
    """Previews of this checkout's stacks. `recorded`: checkpoints of stacks that others read."""

    setup: Setup
    recorded: dict[str, bytes] = field(default_factory=dict)

    def fill(self, work: Pulumi, stack: str) -> None:
        """Put a stack that others read into their workspace, as if it were up."""
        if stack not in self.recorded:
            with workspace.temporary() as place:
                own = Pulumi(place, self.setup)
                own.configure(stack, config.prepared(document(stack)))
                own.record(stack)
                self.recorded[stack] = own.checkpoint(stack).read_bytes()
        work.checkpoint(stack).parent.mkdir(parents=True, exist_ok=True)
        work.checkpoint(stack).write_bytes(self.recorded[stack])

    @contextmanager
    def staged(
        self, stack: str, wanted: Document, before: Document | None = None, base: Path = CHECKOUT
    ) -> Iterator[Pulumi]:
        """A pulumi that is ready to preview `stack` with the configuration `wanted`.

        before: the configuration of the state that it is compared with, as the program in `base`
        makes it; None for an empty state. Raises PreviewFailed.
        """
        with workspace.temporary() as place:
            work = Pulumi(place, self.setup)
            for reader in (wanted, before or {}):
                source = config.reads(reader)
                if source is not None and not work.checkpoint(source).exists():
                    self.fill(work, source)
            if before is not None:
                self._record(replace(work, checkout=base), stack, before)
            work.configure(stack, config.prepared(wanted))
            yield work

    def _record(self, work: Pulumi, stack: str, before: Document) -> None:
        if config.is_lab(before):
            raise PreviewFailed(
                f"{stack} is a lab: its hosts are of this machine, and can't be pretended. "
                "`make lab` and `pulumi preview` show what a change does to it"
            )
        work.configure(stack, config.prepared(before))
        work.record(stack)


@contextmanager
def checkout_of(revision: str) -> Iterator[Path]:
    """The tree of a commit, in a folder that is gone afterwards. Raises PreviewFailed."""
    archive = subprocess.run(
        ["git", "archive", "--format=tar", revision], cwd=CHECKOUT, capture_output=True, check=False
    )
    if archive.returncode:
        raise PreviewFailed(f"git knows no {revision!r}: {archive.stderr.decode().strip()}")
    with workspace.folder("base-") as root:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as tar:
            tar.extractall(root, filter="data")
        yield root
