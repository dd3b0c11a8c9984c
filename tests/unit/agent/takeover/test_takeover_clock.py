"""When a node's clock lets it initiate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.health.probes.clock import Clock
from anycastle.agent.takeover.clock import GRAIN, behind, complaint
from anycastle.model.deployment import Clock as Trust
from tests.support.wireguard_model import stamp

UNKNOWN = "the clock is not synchronised by NTP"


@pytest.mark.parametrize(
    ("clock", "synchronised", "trusted"),
    [
        (Clock(True, 0.0, 0.0), "", ""),
        (Clock(True, -0.1, 0.0), "", ""),
        (Clock(True, 0.101, 0.0), *["the clock is off by +101 ms"] * 2),
        (Clock(True, -3.0, 0.0), *["the clock is off by -3000 ms"] * 2),
        (Clock(False, 0.0, 0.0), UNKNOWN, ""),
        (Clock(False, 9.0, 0.0), UNKNOWN, ""),  # what an unsynchronised kernel says is old
    ],
)
def test_who_may_initiate(clock: Clock, synchronised: str, trusted: str) -> None:
    assert complaint(clock, Trust.SYNCHRONISED) == synchronised
    assert complaint(clock, Trust.TRUSTED) == trusted


@given(st.floats(1.8e9, 1.9e9), st.floats(-0.1, 0.1))
def test_not_behind_means_a_later_timestamp(confirmed_at: float, more: float) -> None:
    """The owner may have sent its last initiation in the very moment of the confirmation."""
    wall = confirmed_at + GRAIN + more
    if behind(wall, confirmed_at) <= 0:
        assert stamp(wall) > stamp(confirmed_at) - 1e-6
    if more < -GRAIN:
        assert behind(wall, confirmed_at) > 0
