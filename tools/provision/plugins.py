"""The command provider: the vendor's plugin, else the stand-in of tools/offline.

Both lie in a plugin folder of our own (PULUMI_HOME), whose name carries the hash of the stand-in, so
that a checkout never runs another checkout's.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from tools.places import CHECKOUT, cache_root, digest, digest_files
from tools.provision import pulumi_cli
from tools.provision.commands import CommandFailed, Shell
from tools.provision.graph import Step, StepFailed
from tools.provision.python_env import LOCK, packages_env

SOURCE = CHECKOUT / "tools" / "offline"
DOWNLOAD_SECONDS = 30.0


def command_version(lock: str) -> str:
    """The version of the command provider's SDK in the text of a lock file; the plugin's is the same."""
    found = re.search(r"^pulumi-command==(\S+)", lock, re.MULTILINE)
    if not found:
        raise ValueError(f"{LOCK} does not pin pulumi-command")
    return found[1]


def sources() -> list[Path]:
    """Of the stand-in. tools/offline/preview is not installed: it runs from the checkout."""
    return [
        file
        for file in SOURCE.rglob("*")
        if file.is_file() and not {"__pycache__", "preview"} & set(file.relative_to(SOURCE).parts)
    ]


def home() -> Path:
    """PULUMI_HOME."""
    key = digest(digest_files(sources()), str(packages_env()), command_version(LOCK.read_text()))
    return cache_root() / "pulumi" / f"home-{key}"


def plugin_folder() -> Path:
    return home() / "plugins" / f"resource-command-v{command_version(LOCK.read_text())}"


def stands_in() -> bool:
    """Whether it is the stand-in that set-up installed."""
    return (plugin_folder() / "tools").is_dir()


def make_home(shell: Shell) -> None:
    command = pulumi_cli.cli()
    if command is None:
        raise StepFailed("there is no pulumi command")
    shutil.rmtree(home(), ignore_errors=True)
    environment = {"PULUMI_HOME": str(home()), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    install: list[str | Path] = [
        command,
        "--non-interactive",
        "plugin",
        "install",
        "resource",
        "command",
    ]
    install.append(command_version(LOCK.read_text()))
    try:
        shell.run(install, env=environment, timeout=DOWNLOAD_SECONDS)
    except CommandFailed:
        shell.note(
            "the vendor's command provider can't be had; the stand-in of tools/offline takes its place"
        )
        stage = home() / "stage"
        write_stand_in(stage)
        shell.run([*install, "--reinstall", "--file", stage], env=environment)
        shutil.rmtree(stage)


def write_stand_in(folder: Path) -> None:
    """Copy the stand-in and start it by the interpreter of the cached environment."""
    shutil.copytree(
        SOURCE,
        folder / "tools" / "offline",
        ignore=shutil.ignore_patterns("__pycache__", "preview"),
    )
    script = folder / "pulumi-resource-command"
    script.write_text(
        "#!/bin/sh\n"
        f'PYTHONPATH="$(dirname "$0")" exec {packages_env()}/bin/python -m tools.offline.command "$@"\n'
    )
    script.chmod(0o755)


def step() -> Step:
    return Step(
        name="command-provider",
        ready=(plugin_folder() / "pulumi-resource-command").exists,
        action=make_home,
        needs=("pulumi-cli", "python-packages"),
    )
