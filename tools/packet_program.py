"""The runtime's own build of its packet program, for set-up and for bundles.

Loaded from its file: set-up runs before there is an environment in which to import it.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from tools.places import CHECKOUT
from tools.provision.commands import Shell
from tools.provision.graph import Step, StepFailed

BUILD = CHECKOUT / "runtime" / "anycastle" / "agent" / "takeover" / "bpf" / "build.py"


@cache
def builder(path: Path = BUILD) -> ModuleType:
    """The module anycastle.agent.takeover.bpf.build of this checkout."""
    spec = importlib.util.spec_from_file_location("packet_program_build", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compiler() -> str:
    """What besides the source decides about the compiled bytes. Raises RuntimeError."""
    build = builder()
    try:
        return str(build.compiler())
    except build.BuildFailed as error:
        raise RuntimeError(str(error)) from error


def compile_in_place(shell: Shell) -> None:
    """For what runs from the checkout; the object is not committed."""
    build = builder()
    try:
        build.compile_in_place()
    except build.BuildFailed as error:
        shell.log.write(f"{error}\n")
        raise StepFailed(str(error).splitlines()[0]) from error


def step() -> Step:
    return Step(
        name="packet-program",
        ready=lambda: bool(builder().is_current()),
        action=compile_in_place,
        needs=("debian-lab",),
        remedy="see what clang said in the log",
    )
