"""docs/api.md names every route, error code and metric."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from anycastle.control.api.table import ROUTES
from anycastle.control.database import Database
from anycastle.control.feed import Hub
from anycastle.control.metrics import Metrics

CHECKOUT = Path(__file__).parents[3]
PAGE = (CHECKOUT / "docs" / "api.md").read_text()
SOURCE = CHECKOUT / "runtime" / "anycastle" / "control"


@pytest.mark.parametrize("route", [f"{route.method} {route.path}" for route in ROUTES])
def test_routes(route: str) -> None:
    assert f"`{route}`" in PAGE


def test_error_codes() -> None:
    raised = re.compile(
        r"(?:Conflict|Forbidden|Unauthenticated|Unavailable|MethodNotAllowed|ControlError)\(\s*"
        r'"([a-z_]+)"'
    )
    codes = {code for file in SOURCE.rglob("*.py") for code in raised.findall(file.read_text())}
    assert len(codes) > 15
    assert sorted(code for code in codes if f"`{code}`" not in PAGE) == ["secret_taken"]


async def test_metrics() -> None:
    database = Database("host=/nonexistent")
    metrics = Metrics(Hub(database), database)
    names = {f"{family.name}" for family in metrics.registry.collect()}
    missing = [name for name in names if name.removeprefix("anycastle_control") not in PAGE]
    assert not missing
