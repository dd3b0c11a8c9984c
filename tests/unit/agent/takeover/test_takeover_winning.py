"""Facts 6 to 9 (see test_takeover_rules.py): winning and losing a client, pace, confirmation.

Each test fails when its rule is taken out.
"""

from __future__ import annotations

from anycastle.agent.sessions import (
    GRACE,
)
from anycastle.agent.takeover.machine import (
    RESPONSE,
    SETTLE,
)
from anycastle.agent.takeover.pacer import (
    SPACING,
)
from anycastle.agent.takeover.path import (
    EventKind,
)
from anycastle.agent.takeover.takeover import (
    FORGET,
)
from tests.support.takeover_desk import (
    ANEW,
    CAFE,
    HOME,
    MOMENT,
    ONCE,
    OTHER,
    Desk,
    lost_to_other,
    owned_by_other,
    took_over,
)

# 6: after a takeover the node is the initiator -----------------------------------------


def test_a_confirmed_takeover_is_measured_and_its_peer_left_alone() -> None:
    desk = owned_by_other()
    desk.packet()
    desk.take()
    desk.now += 0.05
    desk.confirmed()
    plan = desk.take()
    assert (plan.reset, plan.initiate) == ([], [])
    (measured,) = plan.observed
    assert measured.result == "confirmed"
    assert measured.seconds is not None
    assert abs(measured.seconds - 0.05) < MOMENT


def test_a_session_that_the_client_began_is_no_takeover() -> None:
    desk = owned_by_other()
    desk.confirmed()
    plan = desk.take()
    assert (plan.reset, plan.observed, plan.events) == ([], [], [])


def test_the_loser_does_not_steal_the_client_back() -> None:
    desk = lost_to_other()
    desk.take()
    desk.packets(desk.now + SETTLE - MOMENT)  # on their way when routing changed
    assert desk.initiated == []


def test_the_loser_takes_the_client_back_when_the_winner_died() -> None:
    desk = lost_to_other()
    desk.now += 1.0
    desk.route(None)
    desk.packet()
    assert desk.initiated == ANEW


def test_the_losers_indices_end_after_the_sessions_grace() -> None:
    desk = lost_to_other()
    assert desk.take().forget == set()  # packets under the old key are on their way
    desk.wait(desk.now + FORGET - MOMENT)
    assert desk.take().forget == set()
    desk.wait(desk.now + 2 * MOMENT)
    assert desk.take().forget == {HOME}
    assert GRACE < FORGET <= 5.0


def test_endpoints_that_the_client_had_meanwhile_are_forgotten_too() -> None:
    desk = took_over()
    desk.confirmed(CAFE)  # roamed
    desk.now += 60.0
    desk.route(OTHER, CAFE, at=desk.now)
    desk.lost(moved=True)
    desk.take()
    desk.wait(desk.now + FORGET)
    assert desk.take().forget == {HOME, CAFE}


def test_indices_of_a_new_session_are_not_forgotten_with_the_old_ones() -> None:
    desk = lost_to_other()
    desk.now += 1.0
    desk.route(None)
    desk.packet()
    assert desk.take().forget == {HOME}  # with the peer made anew, before it initiates
    desk.wait(desk.now + FORGET)
    assert desk.take().forget == set()


# 7: pace by the backlog and per source: test_takeover_pacer.py -----------------------------


def test_an_answer_makes_room_for_the_next_before_it_is_confirmed() -> None:
    """What WireGuard has taken in can't queue up; looking at it comes later."""
    desk = Desk(clients=2, backlog=1)
    desk.route(OTHER, HOME)
    desk.route(OTHER, CAFE, number=2)
    desk.packet()
    desk.packet(CAFE)
    assert desk.initiated == ONCE
    desk.packet(kind=EventKind.ANSWERED)
    assert desk.initiated == [("client2", CAFE, False)]


def test_open_handshakes_are_bounded_and_end() -> None:
    desk = Desk(clients=5, backlog=2)
    desk.now = 1.0
    endpoints = {n: HOME._replace(address=HOME.address + n) for n in range(1, 6)}
    for number, endpoint in endpoints.items():
        desk.route(OTHER, endpoint, number=number)
        desk.packet(endpoint)
    assert len(desk.initiated) == 2
    desk.wait(1.0 + RESPONSE - MOMENT)
    assert desk.initiated == []
    desk.wait(1.0 + RESPONSE + MOMENT)
    assert len(desk.initiated) == 2


def test_a_confirmed_handshake_makes_room_at_once() -> None:
    desk = Desk(clients=2, backlog=1)
    desk.now = 1.0
    desk.route(OTHER)
    desk.route(OTHER, CAFE, number=2)
    desk.packet(HOME)
    desk.packet(CAFE)
    assert desk.initiated == ONCE
    desk.now += 0.05
    desk.confirmed()
    assert desk.initiated == [("client2", CAFE, False)]


def test_a_source_that_does_not_answer_is_spaced() -> None:
    desk = Desk(clients=4)
    desk.now = 1.0
    ports = {number: HOME._replace(port=4000 + number) for number in range(1, 5)}
    for number, endpoint in ports.items():
        desk.route(OTHER, endpoint, number=number)
    desk.packet(ports[1])
    desk.wait(1.0 + RESPONSE)
    desk.take()
    for number in (2, 3, 4):
        desk.packet(ports[number])
    assert [name for name, *_ in desk.initiated] == ["client2"]
    desk.wait(1.0 + RESPONSE + SPACING)
    assert len(desk.initiated) == 1


# 8, 9: what confirms is WireGuard's word, and packets are the hint to ask it ---------------


def test_an_answer_is_a_hint_and_no_confirmation() -> None:
    desk = owned_by_other()
    desk.packet()
    assert not desk.take().sample
    for kind in (EventKind.ANSWERED, EventKind.FIRST):
        desk.packet(HOME, kind)
        plan = desk.take()
        assert plan.sample
        assert plan.observed == []
    assert desk.core.counts().confirmed == 0


# 10: no amplifier: test_takeover_abuse.py ------------------------------------------------
