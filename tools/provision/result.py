"""What set-up leaves in the checkout for the others: `.lab/setup.json` and the link `.lab/image`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from tools.places import LAB_ROOT, VENV
from tools.provision import image, plugins, pulumi_cli

FILE = LAB_ROOT / "setup.json"


@dataclass(frozen=True)
class Setup:
    """Paths as text: folders for PATH (first one first), PULUMI_HOME, the lab hosts' root image."""

    path: tuple[str, ...]
    pulumi_home: str
    image: str


def write() -> None:
    found = Setup(
        path=tuple(str(folder) for folder in (VENV / "bin", *pulumi_cli.search_path())),
        pulumi_home=str(plugins.home()),
        image=str(image.image()),
    )
    LAB_ROOT.mkdir(exist_ok=True)
    FILE.write_text(json.dumps(asdict(found), indent=2) + "\n")
    link = LAB_ROOT / "image"
    if not link.is_symlink() or str(link.readlink()) != found.image:
        link.unlink(missing_ok=True)
        link.symlink_to(found.image)


def read() -> Setup:
    """Raises FileNotFoundError before set-up has run."""
    data = json.loads(FILE.read_text())
    return Setup(path=tuple(data["path"]), pulumi_home=data["pulumi_home"], image=data["image"])
