"""A test's level is the folder that it lies in: tests/LEVEL/..., selectable as `-m LEVEL`."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent
LEVELS = frozenset({"unit", "program", "integration", "kernel", "lab"})


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(ROOT):
            level = item.path.relative_to(ROOT).parts[0]
            if level in LEVELS:
                item.add_marker(getattr(pytest.mark, level))
