"""The guest itself."""

from __future__ import annotations

import os
from pathlib import Path


def test_this_runs_in_a_kernel_of_its_own() -> None:
    assert "virtme" in Path("/proc/cmdline").read_text()


def test_it_is_root_there() -> None:
    assert os.geteuid() == 0
