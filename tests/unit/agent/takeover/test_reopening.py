"""When a packet path is chosen again."""

from __future__ import annotations

import pytest

from anycastle.agent.takeover.reopening import FIRST, LAST, Reopening
from anycastle.model.deployment import PathChoice, Takeover

AUTO = Takeover()
NFTABLES = Takeover(path=PathChoice.NFTABLES)


def test_not_before_there_was_one() -> None:
    assert not Reopening().due(AUTO, 1e9)


def test_one_that_works_is_kept() -> None:
    reopening = Reopening()
    reopening.opened(AUTO, "nftables", 0.0)
    assert not reopening.due(AUTO, 1e9)


@pytest.mark.parametrize("other", [NFTABLES, Takeover(clients=2000)])
def test_other_settings(other: Takeover) -> None:
    reopening = Reopening()
    reopening.opened(AUTO, "bpf", 0.0)
    assert reopening.due(other, 1.0)
    reopening.opened(other, "nftables", 1.0)
    assert not reopening.due(other, 2.0)


def test_none_is_tried_again_ever_more_rarely() -> None:
    reopening, now, pauses = Reopening(), 0.0, []
    for _ in range(8):
        reopening.opened(AUTO, "none", now)
        pause = next(pause for pause in range(1000) if reopening.due(AUTO, now + pause))
        pauses.append(pause)
        now += pause
    assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]
    assert (pauses[0], pauses[-1]) == (FIRST, LAST)


def test_the_pause_begins_anew_with_a_path_or_other_settings() -> None:
    for wish, kind in ((AUTO, "bpf"), (NFTABLES, "none")):
        reopening = Reopening()
        for _ in range(5):
            reopening.opened(AUTO, "none", 0.0)
        reopening.opened(wish, kind, 100.0)
        if kind == "bpf":
            reopening.opened(wish, "none", 100.0)
        assert reopening.due(wish, 100.0 + FIRST)
