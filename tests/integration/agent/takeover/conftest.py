"""Two nodes with the BPF packet path."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.bpf_paths import MakeBpfPath, bpf_paths
from tests.support.path_world import PathWorld, path_world


@pytest.fixture
def make_bpf_path() -> Iterator[MakeBpfPath]:
    with bpf_paths() as make:
        yield make


@pytest.fixture
def bpf_world(make_bpf_path: MakeBpfPath) -> Iterator[PathWorld]:
    with path_world(make_bpf_path) as made:
        yield made
