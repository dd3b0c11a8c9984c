"""The table at the top of `machine`, line by line."""

from dataclasses import replace

import pytest

from anycastle.agent.health.dampening import History
from anycastle.agent.health.machine import (
    DRAIN_WAIT,
    SOFT_PATIENCE,
    STAGGER,
    STAGGER_COLD,
    STAGGER_STEP,
    Action,
    Input,
    Machine,
    step,
)
from anycastle.model.deployment import Health
from anycastle.model.status import NodeState

HEALTH = Health(interval=1.0, rise=3, fall=2, hold_down=10.0, hold_down_max=300.0)
UP_AT = 102.0
"""When `up()` entered UP."""


def drive(machine: Machine, *given: Input) -> tuple[Machine, list[Action | None]]:
    actions = []
    for one in given:
        machine, action = step(machine, one)
        actions.append(action)
    return machine, actions


def rounds(start: float, count: int, **what: object) -> list[Input]:
    return [Input(now=start + n, round=True, **what) for n in range(count)]  # type: ignore[arg-type]


def up() -> Machine:
    machine, actions = drive(Machine(HEALTH), *rounds(100.0, 3))
    assert actions == [None, None, Action.ANNOUNCE]
    return machine


def test_announces_after_rise_good_rounds_and_not_before() -> None:
    machine, actions = drive(Machine(HEALTH), *rounds(0.0, 2))
    assert (machine.state, actions) == (NodeState.DOWN, [None, None])
    machine, action = step(machine, Input(now=2.0, round=True))
    assert (machine.state, action, machine.reason) == (NodeState.UP, Action.ANNOUNCE, "")


def test_events_between_rounds_do_not_count_as_rounds() -> None:
    machine, actions = drive(Machine(HEALTH), *[Input(now=0.1 * n) for n in range(20)])
    assert machine.state is NodeState.DOWN
    assert set(actions) == {None}


@pytest.mark.parametrize("others", [(), (False,), (True,)])
def test_never_announces_while_unable(others: tuple[bool, ...]) -> None:
    machine, actions = drive(
        Machine(HEALTH), *rounds(0.0, 100, unable="no snapshot yet", others=others)
    )
    assert set(actions) == {None}
    assert machine.reason == "no snapshot yet"


def test_one_bad_round_is_forgiven() -> None:
    machine, actions = drive(
        up(), *rounds(103.0, 1, hard="x", others=(False,)), *rounds(104.0, 5, others=(False,))
    )
    assert machine.state is NodeState.UP
    assert set(actions) == {None}


def test_a_hard_failure_demotes_then_withdraws() -> None:
    machine, actions = drive(up(), *rounds(103.0, 4, hard="daemon is dead", others=(False,)))
    assert actions == [None, Action.ANNOUNCE_DEMOTED, Action.WITHDRAW, None]
    assert (machine.state, machine.reason) == (NodeState.DOWN, "daemon is dead")


def test_a_soft_failure_stays_demoted_for_its_patience() -> None:
    given = rounds(103.0, int(SOFT_PATIENCE) + 3, soft="disk is full", others=(False,))
    _, actions = drive(up(), *given)
    assert [a for a in actions if a] == [Action.ANNOUNCE_DEMOTED, Action.WITHDRAW]
    assert actions.index(Action.WITHDRAW) - actions.index(Action.ANNOUNCE_DEMOTED) == SOFT_PATIENCE


def test_a_fatal_failure_withdraws_at_once_when_another_announces() -> None:
    machine, action = step(up(), Input(now=102.5, fatal="wg0 is gone", others=(True, False)))
    assert (machine.state, action) == (NodeState.DOWN, Action.WITHDRAW)


@pytest.mark.parametrize("others", [(), (True,), (True, True)])
def test_the_last_announcer_stays_demoted(others: tuple[bool, ...]) -> None:
    given = rounds(103.0, 600, fatal="wg0 is gone", hard="x", soft="y", others=others)
    machine, actions = drive(up(), *given)
    assert [a for a in actions if a] == [Action.ANNOUNCE_DEMOTED]
    assert machine.state is NodeState.DEMOTED
    assert machine.announcing


def test_the_last_announcer_leaves_when_a_healthy_one_appears() -> None:
    machine, _ = drive(up(), *rounds(103.0, 5, hard="x"))
    machine, action = step(machine, Input(now=109.0, hard="x", others=(False,)))
    assert (machine.state, action) == (NodeState.DOWN, Action.WITHDRAW)


def test_losing_the_bgp_session_is_down_whatever_the_others_do() -> None:
    machine, action = step(up(), Input(now=103.0, unable="no BGP session"))
    assert (machine.state, action) == (NodeState.DOWN, Action.WITHDRAW)


def test_a_demoted_node_rises_after_the_hold_down() -> None:
    machine, _ = drive(up(), *rounds(103.0, 5, soft="x"))
    machine, actions = drive(machine, *rounds(108.0, 12))
    # The last bad round was at 107: ten seconds after it, at 117, the node is back.
    assert [a for a in actions if a] == [Action.ANNOUNCE]
    assert actions.index(Action.ANNOUNCE) == 9


def test_hold_down_doubles_with_each_flap_up_to_its_maximum() -> None:
    machine, now, waits = up(), 103.0, []
    for _ in range(8):
        machine, _ = drive(machine, *rounds(now, 3, hard="x", others=(False,)))
        now = last_bad = now + 2
        assert machine.state is NodeState.DOWN
        while machine.state is not NodeState.UP:
            now += 1
            machine, _ = step(machine, Input(now=now, round=True, others=(False,)))
        waits.append(now - last_bad)
        now += 1
    assert waits[0] == pytest.approx(10, abs=1)
    assert waits[1] == pytest.approx(20, rel=0.1)
    assert waits[2] == pytest.approx(40, rel=0.15)
    assert waits == sorted(waits)
    assert waits[-1] <= 301


def test_a_bad_round_during_the_hold_down_starts_it_anew() -> None:
    machine, _ = drive(up(), *rounds(103.0, 3, hard="x", others=(False,)))
    machine, _ = drive(machine, *rounds(106.0, 8, others=(False,)))
    machine, _ = step(machine, Input(now=114.0, round=True, soft="y", others=(False,)))
    machine, actions = drive(machine, *rounds(115.0, 9, others=(False,)))
    assert set(actions) == {None}
    machine, action = step(machine, Input(now=124.0, round=True, others=(False,)))
    assert action is Action.ANNOUNCE


@pytest.mark.parametrize("rank", [0, 1, 7])
def test_comes_back_demoted_when_nobody_announces(rank: int) -> None:
    machine, _ = drive(up(), *rounds(103.0, 3, hard="x", others=(False,)))
    assert machine.state is NodeState.DOWN
    start, due = 106.0, STAGGER + STAGGER_STEP * rank
    machine, action = step(machine, Input(now=start, hard="x", rank=rank))
    machine, action = step(machine, Input(now=start + due - 0.01, hard="x", rank=rank))
    assert action is None
    machine, action = step(machine, Input(now=start + due, hard="x", rank=rank))
    assert (machine.state, action) == (NodeState.DEMOTED, Action.ANNOUNCE_DEMOTED)


def test_somebody_announcing_meanwhile_ends_the_wait() -> None:
    machine, _ = drive(up(), *rounds(103.0, 3, hard="x", others=(False,)))
    machine, _ = step(machine, Input(now=106.0, hard="x"))
    machine, _ = step(machine, Input(now=107.0, hard="x", others=(True,)))
    machine, action = step(machine, Input(now=109.5, hard="x"))
    assert action is None


def test_a_node_that_was_never_well_waits_longer() -> None:
    machine, _ = drive(Machine(HEALTH), *rounds(0.0, int(STAGGER_COLD), soft="x"))
    assert machine.state is NodeState.DOWN
    machine, action = step(machine, Input(now=STAGGER_COLD, round=True, soft="x"))
    assert action is Action.ANNOUNCE_DEMOTED


WELL = (False,)
"""One other node announces, undemoted."""


def drained() -> Machine:
    machine, action = step(up(), Input(now=200.0, drain="asked", others=WELL))
    assert (machine.state, action) == (NodeState.DRAINING, Action.ANNOUNCE_DEMOTED)
    machine, action = step(machine, Input(now=200.0 + DRAIN_WAIT, drain="asked", others=WELL))
    assert (machine.state, action, machine.announcing) == (
        NodeState.DRAINING,
        Action.WITHDRAW,
        False,
    )
    return machine


def test_drain_demotes_waits_and_withdraws() -> None:
    machine, _ = step(up(), Input(now=200.0, drain="asked", others=WELL))
    _, action = step(machine, Input(now=200.0 + DRAIN_WAIT / 2, drain="asked", others=WELL))
    assert action is None
    assert drained().reason == "asked"


def test_drain_of_a_node_that_does_not_announce_does_nothing() -> None:
    machine, action = step(Machine(HEALTH), Input(now=1.0, drain="asked"))
    assert (machine.state, action, machine.announcing) == (NodeState.DRAINING, None, False)


@pytest.mark.parametrize("others", [(), (True,), (True, True)])
def test_a_draining_node_that_has_become_the_last_one_stays_demoted(
    others: tuple[bool, ...],
) -> None:
    given = rounds(200.0, 600, drain="asked", others=others)
    machine, actions = drive(up(), *given)
    assert [a for a in actions if a] == [Action.ANNOUNCE_DEMOTED]
    assert (machine.state, machine.announcing) == (NodeState.DRAINING, True)
    assert machine.reason == "asked; stays announced, as no other node is well"
    machine, action = step(machine, Input(now=801.0, drain="asked", others=(True, False)))
    assert (action, machine.reason) == (Action.WITHDRAW, "asked")


@pytest.mark.parametrize("others", [(), (True,)])
def test_a_forced_drain_leaves_and_stays_away_whatever_the_others_do(
    others: tuple[bool, ...],
) -> None:
    machine, actions = drive(
        up(),
        *rounds(200.0, 300, drain="asked", forced=True, others=others),
        *rounds(500.0, 60, drain="asked", forced=True),
    )
    assert [a for a in actions if a] == [Action.ANNOUNCE_DEMOTED, Action.WITHDRAW]
    assert actions.index(Action.WITHDRAW) == DRAIN_WAIT
    assert machine.state is NodeState.DRAINING


def test_a_drained_node_comes_back_demoted_when_nobody_announces_and_leaves_again() -> None:
    machine, action = step(drained(), Input(now=300.0, drain="asked", rank=2))
    due = 300.0 + STAGGER + 2 * STAGGER_STEP
    machine, action = step(machine, Input(now=due - 0.01, drain="asked", rank=2))
    assert action is None
    machine, action = step(machine, Input(now=due, drain="asked", rank=2))
    assert (machine.state, action) == (NodeState.DRAINING, Action.ANNOUNCE_DEMOTED)
    machine, actions = drive(machine, *rounds(due + 1, 60, drain="asked", others=(True,)))
    assert set(actions) == {None}
    machine, action = step(machine, Input(now=due + 100, drain="asked", others=WELL))
    assert (machine.state, action) == (NodeState.DRAINING, Action.WITHDRAW)


def test_a_drained_node_that_is_not_able_does_not_come_back() -> None:
    machine, actions = drive(drained(), *rounds(300.0, 60, drain="asked", unable="no session"))
    assert set(actions) == {None}
    assert machine.reason == "asked; no session"


def test_a_draining_node_that_loses_its_session_has_withdrawn() -> None:
    machine, _ = step(up(), Input(now=200.0, drain="asked"))
    machine, action = step(machine, Input(now=200.1, drain="asked", unable="no session"))
    assert (machine.state, action, machine.announcing) == (
        NodeState.DRAINING,
        Action.WITHDRAW,
        False,
    )


def test_a_drain_called_off_leads_back_without_a_hold_down() -> None:
    machine, _ = drive(drained(), *rounds(201.0, 3, drain="asked", others=WELL))
    machine, action = step(machine, Input(now=204.0, round=True, others=WELL))
    assert (machine.state, action) == (NodeState.UP, Action.ANNOUNCE)
    assert machine.history.penalty == 0


def test_a_node_that_fell_ill_while_drained_rises_before_it_announces() -> None:
    machine, _ = drive(drained(), *rounds(201.0, 3, drain="asked", hard="x", others=WELL))
    machine, actions = drive(machine, *rounds(204.0, 2, hard="x", others=WELL))
    assert (machine.state, set(actions)) == (NodeState.DOWN, {None})
    machine, actions = drive(machine, *rounds(206.0, 3, others=WELL))
    assert (machine.state, actions) == (NodeState.UP, [None, None, Action.ANNOUNCE])


def test_a_drain_called_off_before_the_withdrawal_withdraws_nothing() -> None:
    machine, _ = step(up(), Input(now=200.0, drain="asked"))
    well, action = step(machine, Input(now=200.5))
    assert (well.state, action) == (NodeState.UP, Action.ANNOUNCE)
    ill, action = step(machine, Input(now=200.5, round=True, soft="disk is full"))
    assert (ill.state, action, ill.announcing) == (NodeState.DEMOTED, None, True)


def test_penalty_does_not_decay_while_the_node_is_failing() -> None:
    machine, _ = drive(up(), *rounds(103.0, 2000, hard="x", others=(False,)))
    machine, actions = drive(machine, *rounds(2103.0, 9, others=(False,)))
    assert set(actions) == {None}, "an hour of failure must not shorten the hold-down"


def test_a_held_down_node_says_for_how_long() -> None:
    machine = replace(Machine(HEALTH), history=History(penalty=1.0, at=100.0, hold=10.0))
    machine, _ = drive(machine, *rounds(101.0, 4, others=(False,)))
    assert machine.reason == "held down for 6 s more"
