"""The machine of one client: every line of the table at its top, and what no order of
events may lead to."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.takeover.machine import (
    ATTEMPTS,
    FRESH,
    HEARD,
    INTERVAL,
    NEW,
    PATIENCE,
    RESPONSE,
    REST,
    SETTLE,
    STALE_KEYS,
    Act,
    Case,
    State,
    What,
    step,
)

NOW = 1000.0
IDLE = Case()
WAITING = Case(State.WAITING, first_at=NOW - 1, packet_at=NOW - 1)
INITIATING = replace(
    WAITING, state=State.INITIATING, attempts=1, initiated_at=NOW - RESPONSE, until=NOW
)
BACKING_OFF = replace(
    INITIATING, state=State.BACKING_OFF, initiated_at=NOW - PATIENCE, packet_at=NOW - PATIENCE - 1
)
HEARD_OF = Case(packet_at=NOW - 1, shy_until=NOW + SETTLE - 2)
CONFIRMED = Case(State.CONFIRMED)
ADOPTED = replace(WAITING, adopted=True, packet_at=-math.inf)
TALKS = replace(BACKING_OFF, packet_at=NOW - 1)

TABLE = [
    (IDLE, What.PACKET, State.WAITING, (Act.QUEUE,)),
    (IDLE, What.ADOPT, State.WAITING, (Act.QUEUE,)),
    (IDLE, What.VANISHED, State.IDLE, ()),
    (HEARD_OF, What.VANISHED, State.WAITING, (Act.QUEUE,)),
    (replace(HEARD_OF, packet_at=NOW - HEARD - 0.1), What.VANISHED, State.IDLE, ()),
    (replace(HEARD_OF, rest_until=NOW + 1), What.VANISHED, State.IDLE, ()),
    (WAITING, What.PACKET, State.WAITING, (Act.QUEUE,)),
    (WAITING, What.TURN, State.INITIATING, (Act.INITIATE,)),
    (ADOPTED, What.TURN, State.INITIATING, (Act.INITIATE,)),
    (replace(WAITING, attempts=1), What.TURN, State.INITIATING, (Act.INITIATE_ANEW,)),
    (replace(WAITING, keys_until=NOW + 1), What.TURN, State.INITIATING, (Act.INITIATE_ANEW,)),
    (replace(WAITING, packet_at=NOW - FRESH - 1), What.TURN, State.IDLE, ()),
    (WAITING, What.MOVED, State.IDLE, (Act.LEAVE,)),
    (WAITING, What.STOP, State.IDLE, (Act.LEAVE,)),
    (INITIATING, What.PACKET, State.INITIATING, ()),
    (INITIATING, What.TIME, State.BACKING_OFF, (Act.CLOSE, Act.UNANSWERED)),
    (INITIATING, What.MOVED, State.BACKING_OFF, (Act.CLOSE,)),
    (INITIATING, What.STOP, State.BACKING_OFF, (Act.CLOSE,)),
    (BACKING_OFF, What.PACKET, State.BACKING_OFF, ()),
    (BACKING_OFF, What.MOVED, State.BACKING_OFF, ()),
    (BACKING_OFF, What.STOP, State.BACKING_OFF, ()),
    (TALKS, What.TIME, State.WAITING, (Act.RESET, Act.QUEUE)),
    (replace(TALKS, attempts=ATTEMPTS), What.TIME, State.IDLE, (Act.RESET, Act.GIVE_UP)),
    (BACKING_OFF, What.TIME, State.IDLE, (Act.RESET, Act.GIVE_UP)),
    (replace(TALKS, over=True), What.TIME, State.IDLE, (Act.RESET,)),
    (IDLE, What.OWNED, State.CONFIRMED, ()),
    (WAITING, What.OWNED, State.CONFIRMED, (Act.LEAVE,)),
    (INITIATING, What.OWNED, State.CONFIRMED, (Act.CLOSE, Act.CONFIRM)),
    (BACKING_OFF, What.OWNED, State.CONFIRMED, (Act.CONFIRM,)),
    (CONFIRMED, What.LOST, State.IDLE, ()),
    (CONFIRMED, What.ENDED, State.IDLE, ()),
]


@pytest.mark.parametrize(("case", "what", "state", "acts"), TABLE)
def test_each_line_of_the_table(
    case: Case, what: What, state: State, acts: tuple[Act, ...]
) -> None:
    new, done = step(case, what, NOW)
    assert (new.state, done) == (state, acts)


def test_what_is_not_in_the_table_changes_nothing() -> None:
    told = {(case.state, what) for case, what, *_ in TABLE}
    cases = {case.state: case for case in (IDLE, WAITING, INITIATING, BACKING_OFF, CONFIRMED)}
    for state, case in cases.items():
        for what in What:
            if (state, what) not in told:
                assert step(case, what, NOW) == (case, ())


@pytest.mark.parametrize(
    ("case", "ends"),
    [
        (replace(IDLE, initiated_at=NOW), NOW + INTERVAL),
        (replace(IDLE, rest_until=NOW + REST), NOW + REST),
        (replace(IDLE, shy_until=NOW + SETTLE), NOW + SETTLE),
    ],
)
@pytest.mark.parametrize("what", [What.PACKET, What.ADOPT])
def test_when_an_idle_client_may_not_be_tried(case: Case, ends: float, what: What) -> None:
    refused, acts = step(case, what, ends - 0.1)
    heard = replace(case, packet_at=ends - 0.1) if what is What.PACKET else case
    assert (refused, acts) == (heard, ())
    assert step(case, what, ends)[0].state is State.WAITING


def test_limits_that_steps_set() -> None:
    lost, _ = step(CONFIRMED, What.LOST, NOW)
    assert (lost.shy_until, lost.keys_until) == (NOW + SETTLE, NOW + STALE_KEYS)
    assert step(lost, What.VANISHED, NOW + 1)[0].shy_until == -math.inf
    ended, _ = step(CONFIRMED, What.ENDED, NOW)
    assert ended.shy_until == -math.inf
    rests, _ = step(replace(TALKS, attempts=ATTEMPTS), What.TIME, NOW)
    assert rests.rest_until == NOW + REST
    begun, _ = step(WAITING, What.TURN, NOW)
    assert (begun.initiated_at, begun.until) == (NOW, NOW + RESPONSE)
    assert step(begun, What.TIME, begun.until)[0].until == NOW + PATIENCE


def test_a_packet_that_came_before_the_news_of_its_owners_end() -> None:
    """The packet path reports the next one a second later only."""
    lost, _ = step(CONFIRMED, What.LOST, NOW)
    heard, _ = step(lost, What.PACKET, NOW + 2)
    begun, acts = step(heard, What.VANISHED, NOW + 2.01)
    assert (begun.state, begun.first_at, acts) == (State.WAITING, NOW + 2, (Act.QUEUE,))
    assert step(begun, What.TURN, NOW + 2.01)[1] == (Act.INITIATE_ANEW,)


def test_an_adopted_client_that_talks_is_like_any_other() -> None:
    talks, acts = step(ADOPTED, What.PACKET, NOW)
    assert (talks.adopted, talks.first_at, acts) == (False, NOW, (Act.QUEUE,))


def test_nothing_is_remembered_for_ever() -> None:
    case, _ = step(NEW, What.PACKET, NOW)
    case, _ = step(case, What.TURN, NOW)
    assert not case.forgettable(NOW)
    for what in (What.TIME, What.TIME):
        case, _ = step(case, what, case.until)
    assert case.state is State.IDLE
    assert not case.forgettable(case.until - 0.1)
    assert case.forgettable(case.until)


@given(st.lists(st.tuples(st.sampled_from(What), st.floats(0.0, 12.0)), max_size=80))
def test_no_order_of_events_breaks_the_promises(events: list[tuple[What, float]]) -> None:
    """TIME comes when it was asked for, before anything later: that is what timers do."""
    case, now = NEW, NOW
    sent: list[float] = []
    unanswered: float | None = None
    for what, pause in events:
        now += pause
        while case.until <= now and case.state is not State.IDLE:
            at = case.until
            case, acts = step(case, What.TIME, at)
            if Act.RESET in acts:
                unanswered = None
        if what is What.TIME or (what is What.TURN and now < case.not_before):
            continue  # the pacer keeps to what QUEUE said
        case, acts = step(case, what, now)
        if {Act.INITIATE, Act.INITIATE_ANEW} & set(acts):
            assert what is What.TURN
            assert not sent or now - sent[-1] >= INTERVAL
            assert case.attempts <= ATTEMPTS
            assert case.adopted or now - case.packet_at <= FRESH
            sent.append(now)
            unanswered = now
        if what is What.OWNED:
            assert (Act.CONFIRM in acts) == (unanswered is not None)
            unanswered = None
        if case.state in (State.IDLE, State.WAITING):
            # WireGuard has been told to forget the initiation, before it repeats it.
            assert unanswered is None
        assert unanswered is None or now - unanswered < PATIENCE
