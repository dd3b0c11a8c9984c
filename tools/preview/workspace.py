"""One run's folder: plugins, a throw-away backend, copies of configuration. All goes with the run.

```
.lab/preview/RUN/home/plugins/…   launchers of the preview-only plugins (PULUMI_HOME)
                /state/           Pulumi's file backend, marked as a throw-away one
                /config/          all stacks' configuration, prepared (ANYCASTLE_STACKS)
                /lab/             keys that a stack of kind `lab` wants to see
```
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.offline.preview import guard
from tools.places import CHECKOUT, LAB_ROOT, VENV
from tools.provision.python_env import LOCK
from tools.stack import environment

PASSPHRASE = "preview"  # noqa: S105 - of a backend that is deleted
NOT_PLUGINS = frozenset({"policy"})


@dataclass(frozen=True)
class Workspace:
    """The folder of one run."""

    root: Path

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def state(self) -> Path:
        return self.root / "state"

    def config(self, stack: str) -> Path:
        return self.root / "config" / f"Pulumi.{stack}.yaml"


@contextmanager
def folder(prefix: str) -> Iterator[Path]:
    """An empty folder that is gone afterwards."""
    parent = LAB_ROOT / "preview"
    parent.mkdir(parents=True, exist_ok=True)
    root = Path(tempfile.mkdtemp(dir=parent, prefix=prefix))
    try:
        yield root
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def temporary() -> Iterator[Workspace]:
    """A workspace that is gone afterwards."""
    with folder("run-") as root:
        yield made(root)


def made(root: Path) -> Workspace:
    workspace = Workspace(root)
    guard.mark(workspace.state)
    (root / "config").mkdir()
    (root / "init").mkdir()
    install_plugins(workspace.home, plugin_versions(LOCK.read_text()))
    keys = root / "lab" / "ssh"
    keys.mkdir(parents=True)
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "preview"]
    subprocess.run([*command, "-f", str(keys / "id_ed25519")], check=True, stdin=subprocess.DEVNULL)
    return workspace


def plugin_versions(lock: str) -> dict[str, str]:
    """Package -> version of every provider SDK in the text of a lock file."""
    found = re.findall(r"^pulumi-([a-z0-9-]+)==(\S+)", lock, re.MULTILINE)
    return {name: version for name, version in found if name not in NOT_PLUGINS}


def install_plugins(home: Path, versions: Mapping[str, str]) -> None:
    for name, version in versions.items():
        folder = home / "plugins" / f"resource-{name}-v{version}"
        folder.mkdir(parents=True)
        launcher = folder / f"pulumi-resource-{name}"
        launcher.write_text(
            "#!/bin/sh\n"
            f'cd "{CHECKOUT}" && exec "{VENV}/bin/python" -m tools.offline.preview {name} {version} "$@"\n'
        )
        launcher.chmod(0o755)


def variables(
    workspace: Workspace, search_path: tuple[str, ...], checkout: Path, *, pretend: bool
) -> dict[str, str]:
    """The whole environment of a pulumi in this workspace; nobody's credentials are in it."""
    inherited = {name: value for name, value in os.environ.items() if not foreign(name)}
    found = {
        **inherited,
        "PATH": os.pathsep.join([*search_path, os.environ.get("PATH", os.defpath)]),
        "VIRTUAL_ENV": str(VENV),
        "PULUMI_HOME": str(workspace.home),
        "PULUMI_BACKEND_URL": workspace.state.as_uri(),
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        "PULUMI_IGNORE_AMBIENT_PLUGINS": "true",
        "PULUMI_DEBUG_COMMANDS": "true",  # has `--event-log`
        "ANYCASTLE_STACKS": str(workspace.config("").parent),
        "ANYCASTLE_LAB_DIR": str(workspace.root / "lab"),
        "ANYCASTLE_IMAGE": str(workspace.root / "lab" / "image"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if checkout != CHECKOUT:
        found["PYTHONPATH"] = str(checkout / "runtime")
    if pretend:
        found[guard.VARIABLE] = str(workspace.state)
    return found


def foreign(name: str) -> bool:
    """Variables of a lab, another stack, or a cloud account."""
    return environment.foreign(name) or name.startswith("AWS_") or name == "LAB"
