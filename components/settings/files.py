"""The other stacks' files: the only settings that Pulumi does not hand to the program."""

from __future__ import annotations

import os
from pathlib import Path

import yaml

from anycastle.model.codec import ModelError
from components.settings.stacks import KEYS, Documents, file_name

FOLDER_VARIABLE = "ANYCASTLE_STACKS"
"""Environment: another folder than stacks/ of the checkout."""


def folder() -> Path:
    return Path(os.environ.get(FOLDER_VARIABLE) or Path(__file__).parents[2] / "stacks")


def others(own: str, where: Path) -> dict[str, Documents]:
    """The documents of every stack in a folder but `own`, by name. Raises ModelError."""
    found = {}
    for file in sorted(where.glob(file_name("*"))):
        name = file.name.removeprefix("Pulumi.").removesuffix(".yaml")
        if name != own:
            found[name] = _documents(file)
    return found


def _documents(file: Path) -> Documents:
    try:
        content = yaml.safe_load(file.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ModelError(file.name, f"can't be read: {error}") from None
    config = content.get("config") if isinstance(content, dict) else None
    return {key: (config or {}).get(key) for key in KEYS}
