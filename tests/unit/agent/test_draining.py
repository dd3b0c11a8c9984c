"""Orders to leave service: their clock, how far they are, what is told of them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.draining import STOP_LIMIT, Draining
from anycastle.model.feed import NodeOrder
from anycastle.model.status import DrainPhase, DrainStatus

ORDER = NodeOrder(name="n", drain=True, since=1_000_000.0, deadline=1_000_600.0)
WALL = ORDER.since + 1
NOW = 50.0


def draining(order: NodeOrder = ORDER, wall: float = WALL) -> Draining:
    made = Draining()
    assert made.order(order, NOW, wall)
    return made


def phase(
    of: Draining, now: float, *, announcing: bool = False, sessions: int | None = 2
) -> DrainPhase:
    status = of.status(now, announcing=announcing, sessions=sessions, ready=True)
    assert status is not None
    return status.phase


def ends_after(made: Draining) -> float:
    """Seconds after which the deadline counts as passed, to a tenth."""
    return next(n / 10 for n in range(20_000) if phase(made, NOW + n / 10) is DrainPhase.OVERDUE)


def test_nothing_was_asked() -> None:
    made = Draining()
    assert (made.reason, made.forced, made.ordered) == ("", False, False)
    assert made.status(NOW, announcing=True, sessions=1, ready=True) is None
    assert not made.order(None, NOW, WALL)
    assert not made.may_end(NOW, announcing=False, sessions=0, alone=True)


def test_an_order_stands_until_it_is_called_off() -> None:
    made = draining(msgspec.structs.replace(ORDER, reason="new disk", force=True))
    assert (made.reason, made.forced) == ("asked to drain: new disk", True)
    assert made.order(None, NOW, WALL)
    assert (made.reason, made.ordered) == ("", False)


def test_an_order_called_off_by_its_name_is_no_order() -> None:
    made = draining()
    assert made.order(NodeOrder(name="n", drain=False), NOW, WALL)
    assert not made.ordered


def test_the_same_order_again_changes_nothing() -> None:
    made = draining()
    assert not made.order(ORDER, NOW + 500, WALL + 500)
    assert phase(made, NOW + 600) is DrainPhase.OVERDUE


def test_phases_of_a_drain() -> None:
    made = draining()
    assert phase(made, NOW, announcing=True) is DrainPhase.LEAVING
    assert phase(made, NOW + 2) is DrainPhase.MOVING
    assert phase(made, NOW + 3, sessions=0) is DrainPhase.DRAINED
    assert phase(made, NOW + 599, sessions=1) is DrainPhase.OVERDUE
    assert phase(made, NOW + 599, sessions=0) is DrainPhase.DRAINED
    assert phase(made, NOW + 599, announcing=True, sessions=0) is DrainPhase.OVERDUE


def test_a_node_that_has_not_looked_at_wireguard_is_not_drained() -> None:
    assert phase(draining(), NOW, sessions=None) is DrainPhase.MOVING


def test_the_status_names_the_order() -> None:
    status = draining().status(NOW, announcing=True, sessions=1, ready=False)
    assert status == DrainStatus(
        phase=DrainPhase.LEAVING, since=ORDER.since, deadline=ORDER.deadline, ready=False
    )


@pytest.mark.parametrize(
    ("clock", "seconds"),
    [(0.0, 599.0), (-3600.0, 600.0), (300.0, 299.0), (86400.0, 0.0)],
)
def test_a_wrong_clock_makes_a_drain_shorter_at_most(clock: float, seconds: float) -> None:
    assert ends_after(draining(wall=WALL + clock)) == pytest.approx(seconds, abs=0.11)


@given(st.floats(-1e9, 1e9), st.floats(0, 1e5))
def test_no_clock_makes_a_drain_longer_than_it_was_meant_to_be(clock: float, length: float) -> None:
    order = msgspec.structs.replace(ORDER, deadline=ORDER.since + length)
    made = draining(order, WALL + clock)
    assert phase(made, NOW + length + 0.001) is DrainPhase.OVERDUE


def test_the_end_is_told_once() -> None:
    made = draining()
    assert made.news(DrainPhase.MOVING, 2, NOW + 1) == ""
    assert made.news(DrainPhase.DRAINED, 0, NOW + 3.2) == (
        "drained: no session is left after 3.2 s"
    )
    assert made.news(DrainPhase.DRAINED, 0, NOW + 4) == ""
    assert made.news(DrainPhase.MOVING, 1, NOW + 5) == ""
    assert made.news(DrainPhase.DRAINED, 0, NOW + 6) == ""
    assert made.news(DrainPhase.OVERDUE, 1, NOW + 700) == ""


def test_an_overdue_drain_is_told_and_its_late_success_too() -> None:
    made = draining()
    assert "the deadline passed after 599.0 s, sessions left: 3" in made.news(
        DrainPhase.OVERDUE, 3, NOW + 599
    )
    assert made.news(DrainPhase.OVERDUE, 2, NOW + 650) == ""
    assert made.news(DrainPhase.DRAINED, 0, NOW + 700).startswith("drained")


def test_a_node_that_had_to_serve_again_tells_its_next_end() -> None:
    made = draining()
    assert made.news(DrainPhase.DRAINED, 0, NOW + 1)
    assert made.news(DrainPhase.LEAVING, 0, NOW + 2) == ""
    assert made.news(DrainPhase.DRAINED, 0, NOW + 3)


def test_a_later_deadline_is_another_order() -> None:
    made = draining()
    made.news(DrainPhase.DRAINED, 0, NOW + 1)
    longer = msgspec.structs.replace(ORDER, deadline=ORDER.deadline + 600)
    assert made.order(longer, NOW + 100, WALL + 100)
    assert made.news(DrainPhase.DRAINED, 0, NOW + 101)
    assert phase(made, NOW + 1000) is DrainPhase.MOVING


@pytest.mark.parametrize(
    ("now", "announcing", "sessions", "alone", "ends"),
    [
        (NOW, True, 0, True, False),  # not withdrawn yet
        (NOW + 1, False, 2, False, False),  # sessions may still move
        (NOW + 1, False, 0, False, True),
        (NOW + 1, False, 2, True, True),  # nobody is there to take them
        (NOW + STOP_LIMIT, False, 2, False, True),
        (NOW + STOP_LIMIT, True, 0, False, False),
    ],
)
def test_when_a_stop_ends(
    now: float, announcing: bool, sessions: int, alone: bool, ends: bool
) -> None:
    made = draining()
    made.stop("stopping: SIGTERM", NOW)
    assert (made.reason, made.forced) == ("stopping: SIGTERM", True)
    assert made.may_end(now, announcing=announcing, sessions=sessions, alone=alone) is ends
