"""Where a lab keeps what, and what has to be there before its first `pulumi up`.

```
.lab/LAB/env           for a shell: `source .lab/LAB/env` (the default lab's also as .lab/env)
        /stack.yaml    configuration of a lab beside the default one, at first a copy of the latter's
        /ssh           the key that logs in on the lab's hosts
        /passphrase    of the stack's secrets
        /state         Pulumi's file backend
        /logs          of every up and down
        /hosts.json, control-ca.pem, operator.token     from the stack's outputs
```

The passphrase is the same for every lab. Pulumi keeps a salt, made with the passphrase, in the stack's
configuration file: a passphrase of each checkout's own would change that tracked file at the first
`up`. It guards nothing that does not lie in clear text beside it, and no lab leaves its machine.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.places import CHECKOUT, LAB_ROOT

DEFAULT = "lab"
PROJECT = "anycastle"
PASSPHRASE = "anycastle-lab"  # noqa: S105 - see above
NAME = re.compile(r"[a-z][a-z0-9-]{0,19}")


class LabFault(Exception):
    """The lab can't be worked on; the text says why and what to do."""


@dataclass(frozen=True)
class Workspace:
    """The folder of one lab of this checkout; its name is the stack's, too."""

    name: str
    root: Path = LAB_ROOT

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise LabFault(
                f"LAB={self.name}: a lab's name has up to 20 of a-z, 0-9 and -, and begins with a letter"
            )

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def key(self) -> Path:
        return self.folder / "ssh" / "id_ed25519"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def config(self) -> Path:
        """The stack's configuration file: a person edits it."""
        return TRACKED_CONFIG if self.name == DEFAULT else self.folder / "stack.yaml"

    @property
    def checkpoint(self) -> Path:
        """Pulumi's state of the stack."""
        return self.state / ".pulumi" / "stacks" / PROJECT / f"{self.name}.json"

    @property
    def locks(self) -> Path:
        return self.state / ".pulumi" / "locks"


TRACKED_CONFIG = CHECKOUT / "stacks" / f"Pulumi.{DEFAULT}.yaml"


def prepare(lab: Workspace) -> None:
    """Make the folder, the key, the configuration; what is there already stays as it is."""
    for folder in (lab.folder, lab.key.parent, lab.logs, lab.state):
        folder.mkdir(parents=True, exist_ok=True)
    lab.folder.chmod(0o700)
    if not lab.config.exists():
        shutil.copyfile(TRACKED_CONFIG, lab.config)
    write_private(lab.folder / "passphrase", f"{PASSPHRASE}\n")
    if not lab.key.exists():
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"anycastle lab {lab.name}"]
        subprocess.run([*command, "-f", str(lab.key)], check=True, stdin=subprocess.DEVNULL)


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner reads, in one step."""
    partial = path.with_name(path.name + ".new")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    partial.rename(path)


def clear(lab: Workspace) -> None:
    """Remove what the lab kept, but for the logs and a configuration that a person changed."""
    changed = lab.config.exists() and lab.config.read_bytes() != TRACKED_CONFIG.read_bytes()
    kept = {lab.logs.name, lab.config.name if changed else ""}
    if not lab.folder.exists():
        return
    for entry in lab.folder.iterdir():
        if entry.name in kept:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    link = lab.root / "env"
    if link.is_symlink() and not link.exists():
        link.unlink()


@contextmanager
def alone(lab: Workspace) -> Iterator[None]:
    """One `up` or `down` at a time for a lab; raises LabFault. The lock goes with the process."""
    lab.root.mkdir(parents=True, exist_ok=True)
    with (lab.root / f".{lab.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabFault(
                f"another `make lab` or `make lab-down` is at work on the lab {lab.name}; wait for it"
            ) from error
        yield
