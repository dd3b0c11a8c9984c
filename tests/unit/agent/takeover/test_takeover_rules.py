"""The facts that make or break a takeover, one by one: when a node may initiate.

Each test fails when its rule is taken out. The facts are numbered as in docs/takeover.md, and
have their tests

1   in tests/support/wireguard_contract.py and tests/unit/agent/health (the `source` probe)
2-4 here
5   in tests/unit/agent/test_sessions.py
6-9 in test_takeover_winning.py; 6 also in the contract (no keepalive is left behind), 7 also in
    test_pacer.py and test_takeover_pacer.py
10  in test_takeover_abuse.py
"""

from __future__ import annotations

import itertools

from anycastle.agent.takeover.clock import (
    GRAIN,
)
from anycastle.agent.takeover.machine import (
    ATTEMPTS,
    FRESH,
    INTERVAL,
    REST,
)
from anycastle.agent.takeover.path import (
    EventKind,
    PacketEvent,
)
from anycastle.agent.takeover.takeover import (
    CATCH_UP,
)
from tests.support.takeover_desk import (
    ANEW,
    CAFE,
    HOME,
    MOMENT,
    ONCE,
    OTHER,
    OWN,
    Desk,
    owned_by_other,
    took_over,
)

# 2: initiate only where a data packet from that client has just arrived ----------------


def test_without_a_packet_nothing_is_initiated() -> None:
    desk = owned_by_other()
    desk.route(None)
    desk.wait(desk.now + 60.0)
    assert desk.initiated == []


def test_a_packet_is_enough() -> None:
    desk = owned_by_other()
    desk.packet()
    assert desk.initiated == ONCE


def test_an_event_that_waited_too_long_proves_nothing() -> None:
    desk = owned_by_other()
    event = PacketEvent(EventKind.FOREIGN, HOME, desk.now)
    desk.now += FRESH + MOMENT
    desk.tell(lambda *t: desk.core.packet(event, *t))
    assert desk.initiated == []
    assert desk.core.counts().ignored["stray"] == 1


def test_a_client_that_waited_too_long_in_the_queue_may_be_gone() -> None:
    desk = Desk(clients=2, backlog=1)
    desk.now = 1.0
    desk.route(OTHER)
    desk.route(OTHER, CAFE, number=2)
    desk.packet(CAFE)
    desk.packet(HOME)
    assert [name for name, *_ in desk.initiated] == ["client2"]
    desk.now += FRESH + MOMENT  # the loop was stuck
    desk.tell(desk.core.tick)
    assert [name for name, *_ in desk.initiated] == []
    assert desk.core.counts().waiting == 0


def test_a_second_attempt_needs_a_second_packet() -> None:
    desk = owned_by_other()
    desk.packet()
    desk.take()
    desk.wait(desk.now + 60.0)
    plan = desk.take()
    assert plan.initiate == []
    assert [measured.result for measured in plan.observed] == ["gave_up"]


def test_after_some_attempts_the_client_is_left_to_help_itself() -> None:
    desk = owned_by_other()
    began = desk.now
    desk.packets(began + ATTEMPTS * INTERVAL + REST - INTERVAL)
    assert desk.initiated == ONCE + (ATTEMPTS - 1) * ANEW
    desk.packets(began + ATTEMPTS * INTERVAL + REST + 1.0)
    assert desk.initiated == ONCE
    assert REST > 15.0  # the client's own timer


def test_whether_this_node_announces_does_not_matter() -> None:
    desk = owned_by_other()
    desk.announcers(OTHER, own=False)
    desk.packet()
    assert desk.initiated == ONCE


# 3: a keepalive is a data packet, too --------------------------------------------------


def test_an_idle_clients_keepalive_is_enough() -> None:
    desk = owned_by_other()
    desk.route(None)
    desk.wait(desk.now + 24.0)
    desk.packet()
    assert desk.initiated == ONCE
    desk.wait(desk.now + 25.0)
    desk.packet()
    assert desk.initiated == ONCE


# 4: the nodes' clocks form one sequence --------------------------------------------------


def test_a_bad_clock_initiates_nothing_and_says_so() -> None:
    desk = owned_by_other()
    desk.clock("the clock is off by +300 ms")
    (event,) = desk.take().events
    assert (event.kind, event.message) == ("node.clock", "the clock is off by +300 ms")
    desk.packets(desk.now + 3.0)
    assert desk.initiated == []
    assert desk.core.counts().ignored["clock"] == 3
    desk.clock("")
    desk.packet()
    assert desk.initiated == ONCE


def test_a_clock_that_nobody_looked_at_initiates_nothing() -> None:
    desk = owned_by_other()
    fresh = Desk()
    fresh.now = desk.now
    fresh.core = type(fresh.core)(OWN, 100)
    fresh.tell(lambda *t: fresh.core.replace_clients(fresh.enrolled.values(), *t))
    fresh.route(OTHER)
    fresh.packet()
    assert fresh.initiated == []


def test_a_clock_that_goes_bad_empties_the_queue() -> None:
    desk = Desk(clients=2, backlog=1)
    desk.now = 1.0
    desk.route(OTHER)
    desk.route(OTHER, CAFE, number=2)
    desk.packet(CAFE)
    desk.packet(HOME)
    desk.clock("the clock is not synchronised by NTP")
    desk.take()
    desk.wait(desk.now + INTERVAL)
    assert desk.initiated == []


def test_a_clock_behind_the_owners_waits_until_it_has_caught_up() -> None:
    desk = Desk()
    desk.now = 10.0
    desk.route(OTHER, at=10.05)
    desk.packet()
    assert desk.initiated == []
    desk.wait(10.05 + GRAIN - MOMENT)
    assert desk.initiated == []
    desk.wait(10.05 + GRAIN + MOMENT)
    assert desk.initiated == ONCE


def test_a_clock_far_behind_the_owners_does_not_initiate() -> None:
    desk = Desk()
    desk.now = 10.0
    desk.route(OTHER, at=10.0 + CATCH_UP)
    desk.packet()
    desk.wait(10.5)
    assert desk.initiated == []
    assert desk.core.counts().ignored["clock"] == 1


def test_two_initiations_to_a_client_are_five_seconds_apart() -> None:
    desk = owned_by_other()
    times = []
    for tenth in range(600):
        desk.wait(10.0 + tenth / 10)
        desk.packet()
        times += [desk.now for _ in desk.initiated]
    assert len(times) > ATTEMPTS
    assert min(b - a for a, b in itertools.pairwise(times)) >= INTERVAL


def test_the_distance_holds_over_a_takeover_and_its_loss() -> None:
    desk = took_over()
    desk.route(OTHER, at=desk.now)
    desk.lost(moved=True)
    desk.route(None)  # OTHER died
    desk.packets(14.9)
    assert desk.initiated == []
    desk.packets(16.1)
    assert desk.initiated == ONCE
