from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.health import dampening
from anycastle.agent.health.dampening import History
from anycastle.model.deployment import Health

HEALTH = Health()


def test_penalty_halves_in_a_half_life() -> None:
    history = History(penalty=4.0, at=0.0)
    assert dampening.penalty(history, dampening.HALF_LIFE) == pytest.approx(2.0)


def test_one_failure_is_forgotten_after_a_half_life() -> None:
    history = dampening.failed(History(), 100.0, HEALTH)
    assert dampening.held(history, 105.0) == pytest.approx(5.0)
    later = dampening.begin(history, 100.0 + dampening.HALF_LIFE + 1, HEALTH)
    assert dampening.held(later, 402.0) == 0.0


def test_the_first_crash_is_free_and_a_loop_of_them_is_not() -> None:
    history: History | None = None
    holds = []
    for crash in range(8):
        history = dampening.begin(history, 100.0 + 5 * crash, HEALTH)
        holds.append(dampening.held(history, history.at))
    assert holds[:2] == [0.0, 0.0], "a clean start and one crash"
    assert holds[2] == pytest.approx(10, rel=0.1)
    assert holds[3] == pytest.approx(20, rel=0.1)
    assert holds[-1] <= HEALTH.hold_down_max
    assert holds == sorted(holds)


def test_a_clean_stop_costs_nothing() -> None:
    stopped = History(running=False)
    assert dampening.begin(stopped, 50.0, HEALTH) == History(running=True)


def test_history_of_an_earlier_boot_is_ignored() -> None:
    assert dampening.begin(History(penalty=5, at=9000.0, hold=300), 12.0, HEALTH) == History(
        running=True
    )


@given(st.lists(st.floats(0.0, 2000.0), max_size=40))
def test_hold_down_stays_between_its_bounds(pauses: list[float]) -> None:
    history, now = History(), 0.0
    for pause in pauses:
        now += pause
        history = dampening.failed(history, now, HEALTH)
        assert HEALTH.hold_down <= history.hold <= HEALTH.hold_down_max


def test_store_and_load(tmp_path: Path) -> None:
    path = tmp_path / "run" / "history.json"
    assert dampening.load(path) is None
    dampening.store(path, History(penalty=1.5, at=3.0, hold=20.0, running=True))
    assert dampening.load(path) == History(penalty=1.5, at=3.0, hold=20.0, running=True)
    path.write_text('{"penalty": "much"}')
    assert dampening.load(path) is None
