"""A part of the lab's world, gone after the test whatever happens."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from components.lab import sweep
from components.lab.layout import CHECKOUT, Layout
from tests.support.booted_lab import BootedLab

IMAGE = CHECKOUT / ".lab" / "image"

MakeLab = Callable[[], AbstractContextManager[BootedLab]]


@pytest.fixture(scope="module")
def make_lab(tmp_path_factory: pytest.TempPathFactory) -> MakeLab:
    """Labs without hosts yet, each with a name of its own; nothing of them is left behind."""
    if os.geteuid() != 0:
        pytest.skip("boots containers: needs root")
    if not IMAGE.exists():
        pytest.skip(f"no image of lab hosts at {IMAGE}: `make setup` builds it")

    @contextmanager
    def make() -> Iterator[BootedLab]:
        name = f"t{secrets.token_hex(3)}"
        directory: Path = tmp_path_factory.mktemp("labs") / name
        directory.mkdir()
        layout = Layout(name, directory)
        try:
            yield BootedLab(layout, IMAGE.resolve())
        finally:
            sweep.sweep(layout)
            assert sweep.remains(layout) == []

    return make


@pytest.fixture
def lab(make_lab: MakeLab) -> Iterator[BootedLab]:
    with make_lab() as made:
        yield made
