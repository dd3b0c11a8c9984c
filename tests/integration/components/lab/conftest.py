"""A part of the lab's world, gone after the test whatever happens."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.lab import sweep
from components.lab.layout import CHECKOUT, Layout
from tests.support.booted_lab import BootedLab

IMAGE = CHECKOUT / ".lab" / "image"


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BootedLab]:
    """A lab without hosts yet; nothing of it is left behind."""
    if os.geteuid() != 0:
        pytest.skip("boots containers: needs root")
    if not IMAGE.exists():
        pytest.skip(f"no image of lab hosts at {IMAGE}: `make setup` builds it")
    name = f"t{secrets.token_hex(3)}"
    monkeypatch.setenv("ANYCASTLE_IMAGE", str(IMAGE))
    monkeypatch.setenv("ANYCASTLE_LAB_DIR", str(tmp_path / name))
    layout = Layout.of(name)
    layout.directory.mkdir()
    try:
        yield BootedLab(layout)
    finally:
        sweep.sweep(layout)
        assert sweep.remains(layout) == []
