"""The lines that benchmarks print."""

from __future__ import annotations

import json

import pytest

from benchmarks.result import Result, quantile


def test_a_line() -> None:
    result = Result(
        benchmark="x", value=123.456789, unit="ms", peer="y", peer_value=2.0, target=300.0
    )
    assert json.loads(result.line()) == {
        "benchmark": "x", "value": 123.5, "unit": "ms", "peer": "y", "peer_value": 2.0,
        "ratio": 61.73, "target": 300.0, "met": True, "notes": "",
    }  # fmt: skip


def test_a_peer_of_nothing_is_no_number() -> None:
    result = Result(benchmark="x", value=1.0, unit="%", peer="y", peer_value=0.0)
    assert json.loads(result.line())["ratio"] is None
    assert json.loads(result.line())["met"] is None


@pytest.mark.parametrize(
    ("values", "share", "answer"),
    [
        ([3.0], 0.5, 3.0),
        ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0),
        ([1.0, 2.0, 3.0, 4.0], 0.99, 4.0),
        ([float(n) for n in range(1, 201)], 0.99, 198.0),
        ([2.0, 1.0], 0.0, 1.0),
    ],
)
def test_quantiles(values: list[float], share: float, answer: float) -> None:
    assert quantile(values, share) == answer


def test_quantile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        quantile([], 0.5)
