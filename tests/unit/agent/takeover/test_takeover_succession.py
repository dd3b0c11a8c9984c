"""Idle clients of a node that left: the one exception to "never without a packet"."""

from __future__ import annotations

import pytest

from anycastle.agent.takeover.machine import INTERVAL, PATIENCE
from anycastle.agent.takeover.takeover import ADOPT_AFTER
from tests.support.takeover_desk import CAFE, HOME, OTHER, OWN, THIRD, Desk

FAR = OWN + 8
ADOPTED = [("client1", HOME, False)]


def idle() -> Desk:
    """Client 1 is at HOME, with OTHER, in the same datacentre; it sends nothing."""
    desk = Desk()
    desk.now = 10.0
    desk.route(OTHER)
    desk.announcers(OTHER)
    return desk


def initiated_after(desk: Desk) -> list[object]:
    desk.wait(desk.now + ADOPT_AFTER + 0.01)
    return list(desk.initiated)


@pytest.mark.parametrize("vanished", [False, True])
def test_the_one_known_successor_needs_no_packet(vanished: bool) -> None:
    """A planned drain keeps the owner's route, a crash does not."""
    desk = idle()
    if vanished:
        desk.route(None)
    desk.announcers()
    assert initiated_after(desk) == ADOPTED


def test_not_before_the_edges_have_followed() -> None:
    desk = idle()
    desk.announcers()
    desk.wait(desk.now + ADOPT_AFTER - 0.01)
    assert desk.initiated == []
    assert 0.5 <= ADOPT_AFTER < INTERVAL  # BFD, and FRR's queues


def test_nobody_acts_where_two_are_left() -> None:
    desk = idle()
    desk.announcers(OTHER, THIRD)
    desk.announcers(THIRD)
    assert initiated_after(desk) == []


def test_the_last_one_is_the_successor_of_all_who_left_before() -> None:
    desk = idle()
    desk.announcers(OTHER, THIRD)
    desk.announcers(THIRD)
    desk.wait(desk.now + 5.0)
    desk.announcers()
    assert initiated_after(desk) == ADOPTED


def test_who_does_not_announce_is_nobodys_successor() -> None:
    desk = idle()
    desk.announcers(own=False)
    assert initiated_after(desk) == []


def test_another_datacentre_is_none_of_its_business() -> None:
    desk = Desk()
    desk.now = 10.0
    desk.route(FAR)
    desk.announcers(FAR)
    desk.announcers()
    assert initiated_after(desk) == []


def test_a_demoted_neighbour_is_no_rival() -> None:
    desk = idle()
    desk.announcers(THIRD, demoted=True)
    assert initiated_after(desk) == ADOPTED


def test_a_node_that_comes_back_in_time_keeps_its_clients() -> None:
    desk = idle()
    desk.announcers()
    desk.announcers(OTHER)
    assert initiated_after(desk) == []


def test_a_node_that_comes_back_empties_the_queue() -> None:
    desk = Desk(clients=2, backlog=1)
    desk.now = 10.0
    desk.route(OTHER)
    desk.route(OTHER, CAFE, number=2)
    desk.announcers(OTHER)
    desk.announcers()
    assert len(initiated_after(desk)) == 1
    desk.announcers(OTHER)
    desk.wait(desk.now + 2 * INTERVAL)
    assert desk.initiated == []


def test_who_talks_comes_first() -> None:
    desk = Desk(clients=2, backlog=1)
    desk.now = 10.0
    desk.route(OTHER, CAFE)
    desk.route(OTHER, HOME, number=2)
    desk.announcers(OTHER)
    desk.announcers()
    desk.wait(10.0 + ADOPT_AFTER - 0.01)
    desk.clock("")
    desk.packet(HOME)
    assert initiated_after(desk)[0] == ("client2", HOME, False)


def test_an_idle_client_is_tried_once() -> None:
    desk = idle()
    desk.announcers()
    assert initiated_after(desk) == ADOPTED
    desk.wait(desk.now + PATIENCE)
    plan = desk.take()
    assert [client.name for client in plan.reset] == ["client1"]
    assert [measured.seconds for measured in plan.observed] == [None]
    desk.wait(desk.now + 60.0)
    assert desk.initiated == []


def test_a_session_that_had_ended_is_not_begun_anew() -> None:
    desk = idle()
    desk.route(None)
    desk.wait(10.0 + 200.0)
    desk.announcers()
    assert initiated_after(desk) == []


def test_own_clients_stay_as_they_are() -> None:
    desk = idle()
    desk.confirmed()
    desk.announcers()
    assert initiated_after(desk) == []


def test_a_bad_clock_adopts_nobody() -> None:
    desk = idle()
    desk.clock("off by a year")
    desk.announcers()
    assert initiated_after(desk) == []
