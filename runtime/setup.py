"""The wheel's one step beyond pyproject.toml: the packet program is compiled into it."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent))

from anycastle.agent.takeover.bpf import build


class BuildWithProgram(build_py):
    """Compiles into the wheel, or in place for an editable installation."""

    def run(self) -> None:
        try:
            if self.editable_mode:
                build.compile_in_place()
            else:
                super().run()
                inside = build.OBJECT.relative_to(Path(__file__).parent)
                build.compile_program(Path(self.build_lib) / inside)
        except build.BuildFailed as error:
            raise SystemExit(str(error)) from error


setup(cmdclass={"build_py": BuildWithProgram})
