"""The whole program under Pulumi's mocks, as a graph of what it registered."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.program.graph import Graph

CHECKOUT = Path(__file__).parents[2]
LAB = "mocked"

Config = dict[str, Any]
Run = Callable[..., Graph]


class ProgramFailed(Exception):
    """The program ended with a RunError; the text is what a person would see."""


@pytest.fixture
def config() -> Config:
    """The shipped lab's configuration, free to be changed."""
    return shipped("lab")


def shipped(stack: str) -> Config:
    """A shipped stack's configuration, free to be changed."""
    file = CHECKOUT / "stacks" / f"Pulumi.{stack}.yaml"
    document: Config = yaml.safe_load(file.read_text())["config"]
    return document


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Runs `__main__.py` with a configuration. preview: what providers decide is unknown.

    stack: its name. others: configurations of the other stacks, by name; outputs: theirs.
    """
    folder = tmp_path_factory.mktemp("program")
    lab = folder / LAB
    (lab / "ssh").mkdir(parents=True)
    (lab / "ssh" / "id_ed25519").write_text("the lab's private key\n")
    (lab / "ssh" / "id_ed25519.pub").write_text("ssh-ed25519 AAAA lab\n")
    stacks = folder / "stacks"
    stacks.mkdir()
    environment = os.environ | {
        "ANYCASTLE_STACKS": str(stacks),
        "ANYCASTLE_LAB_DIR": str(lab),
        "ANYCASTLE_IMAGE": str(folder / "image"),
        "LAB": LAB,
    }

    def program(
        config: Config,
        *,
        preview: bool = False,
        stack: str = "mocked",
        others: Mapping[str, Config] | None = None,
        outputs: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> Graph:
        for file in stacks.iterdir():
            file.unlink()
        for name, other in (others or {}).items():
            stacks.joinpath(f"Pulumi.{name}.yaml").write_text(yaml.safe_dump({"config": other}))
        job, result = folder / "job.json", folder / "graph"
        wanted = {"stack": stack, "config": config, "preview": preview, "outputs": outputs or {}}
        job.write_text(json.dumps(wanted | {"bundles": str(folder)}))
        done = subprocess.run(
            [sys.executable, "-m", "tests.program.recorder", job, result],
            cwd=CHECKOUT,
            env=environment | {"PYTHONPATH": f"{CHECKOUT}:{CHECKOUT / 'runtime'}"},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ProgramFailed(done.stderr)
        graph: Graph = pickle.loads(result.read_bytes())  # noqa: S301 - our own child wrote it
        return graph

    return program


@pytest.fixture(scope="session")
def lab(run: Run) -> Graph:
    """The graph of the shipped lab."""
    return run(shipped("lab"))
