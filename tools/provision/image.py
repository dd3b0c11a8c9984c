"""The root image of lab hosts: a folder, made by mmdebstrap, that every host has as its lower layer.

It takes the machine's own Debian mirrors and APT's proxy settings. Nothing writes to it afterwards.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tools.places import CHECKOUT, cache_root, digest_files
from tools.provision.commands import Shell, output
from tools.provision.graph import Step, StepFailed

RECIPE = CHECKOUT / "tools" / "image"
SUITE = "bookworm"
SUITES = (SUITE, f"{SUITE}-updates", f"{SUITE}-security")
TARGETS = "$(ORIGIN)|$(CODENAME)|$(COMPONENT)|$(REPO_URI)"


def image() -> Path:
    """The folder of this recipe's image."""
    files = [file for file in RECIPE.iterdir() if file.is_file()]
    return cache_root() / "image" / digest_files(files)


def packages() -> list[str]:
    lines = (RECIPE / "packages.txt").read_text().splitlines()
    return [word for line in lines if (word := line.split("#")[0].strip())]


def mirrors(targets: str) -> list[str]:
    """`deb` lines for Debian's own suites out of what `apt-get indextargets` printed in TARGETS' form."""
    found: dict[str, str] = {}
    for line in targets.splitlines():
        origin, suite, component, uri = line.split("|", 3)
        if origin == "Debian" and suite in SUITES and component == "main":
            found.setdefault(suite, f"deb {uri} {suite} main")
    return [found[suite] for suite in SUITES if suite in found]


def proxies(dump: str) -> list[str]:
    """APT's proxy and TLS settings out of what `apt-config dump` printed."""
    wanted = ("Acquire::http::Proxy", "Acquire::https::")
    return [line.rstrip(";") for line in dump.splitlines() if line.startswith(wanted)]


def make_image(shell: Shell) -> None:
    lines = mirrors(
        output(["apt-get", "indextargets", "--format", TARGETS, "Created-By: Packages"]) or ""
    )
    if not lines or f" {SUITE} " not in lines[0]:
        raise StepFailed(
            f"APT knows no mirror of Debian {SUITE}",
            f"add Debian's {SUITE} main to /etc/apt/sources.list and run `apt-get update`",
        )
    target = image()
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(target.name + ".partial")
    remove(partial)
    shell.run([*arguments(lines, partial)], env={"LC_ALL": "C.UTF-8", "TMPDIR": str(target.parent)})
    partial.rename(target)


def arguments(lines: list[str], root: Path) -> list[str | Path]:
    """The mmdebstrap command that fills `root` from the mirrors `lines`."""
    aptopts = ['Acquire::Languages "none"', 'APT::Install-Recommends "false"']
    aptopts += proxies(output(["apt-config", "dump"]) or "")
    hidden = [f"path-exclude=/usr/share/{name}/*" for name in ("doc", "man", "info", "locale")]
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--mode=root",
        *(f"--aptopt={option}" for option in aptopts),
        *(f"--dpkgopt={option}" for option in ("force-unsafe-io", *hidden)),
        f"--include={','.join(packages())}",
        f"--customize-hook={RECIPE / 'customize.sh'}",
        SUITE,
        root,
        *lines,
    ]


def remove(root: Path) -> None:
    """Delete an unfinished image, unless something is still mounted in it."""
    if not root.exists():
        return
    mounts = subprocess.run(
        ["findmnt", "-rno", "TARGET"], capture_output=True, text=True, check=True
    )
    inside = [line for line in mounts.stdout.splitlines() if line.startswith(f"{root}{os.sep}")]
    for mount in sorted(inside, key=len, reverse=True):
        subprocess.run(["umount", mount], check=True)
    shutil.rmtree(root)


def step() -> Step:
    return Step(
        name="image",
        ready=lambda: image().is_dir(),
        action=make_image,
        needs=("debian-lab",),
        remedy="check that `apt-get update` works and that the cache's disk has 2 GB free and allows "
        "device files (no `nodev`); or set XDG_CACHE_HOME to one that does",
    )
