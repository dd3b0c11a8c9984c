from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

STACK = Path(__file__).parents[4] / "stacks" / "Pulumi.lab.yaml"


class StackFile:
    """A stack file's documents, to be spoilt by a test."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.deployment: Any = config["anycastle:deployment"]
        self.lab: Any = config["anycastle:lab"]

    def set(self, path: str, value: object) -> None:
        """Set a field of the deployment; path like `datacentres.0.nodes.1.name`."""
        *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        target: Any = self.deployment
        for part in parents:
            target = target[part]
        target[last] = value


_CONFIG = yaml.safe_load(STACK.read_text())["config"]


@pytest.fixture
def stack() -> StackFile:
    """The shipped lab's settings, free to be changed."""
    return StackFile(copy.deepcopy(_CONFIG))
