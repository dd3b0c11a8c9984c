"""The facts that make or break a takeover, and what a prototype ran into, one by one.

Each test fails when its rule is taken out. Facts about packets (which source address, which
index) belong to the packet path and to WireGuard's edge; here is what is decided.
"""

from __future__ import annotations

import itertools

import msgspec

from anycastle.agent.sessions import GRACE
from anycastle.agent.takeover.clock import GRAIN
from anycastle.agent.takeover.machine import (
    ATTEMPTS,
    FRESH,
    INTERVAL,
    PATIENCE,
    RESPONSE,
    REST,
    SETTLE,
    STALE_KEYS,
)
from anycastle.agent.takeover.pacer import SPACING
from anycastle.agent.takeover.path import EventKind, PacketEvent
from anycastle.agent.takeover.table import HOLD, KEEP
from anycastle.agent.takeover.takeover import CATCH_UP, FORGET
from anycastle.model.client import Credential
from anycastle.model.codec import Key
from tests.support.takeover_desk import CAFE, EPOCH, HOME, OTHER, OWN, THIRD, Desk, owned_by_other

ONCE, ANEW = [("client1", HOME, False)], [("client1", HOME, True)]
MOMENT = 0.001


def took_over() -> Desk:
    """Client 1 was with OTHER, sent a packet here, and is confirmed here."""
    desk = owned_by_other()
    desk.packet()
    desk.now += 0.05
    desk.confirmed()
    desk.route(None)  # this node's own route is the best now
    desk.take()
    return desk


def lost_to_other() -> Desk:
    """The same client, which OTHER has won back since."""
    desk = took_over()
    desk.now += 60.0
    desk.tell(desk.core.tick)
    desk.route(OTHER, at=desk.now)
    desk.lost(moved=True)
    return desk


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


# 6: after a takeover the node is the initiator -----------------------------------------


def test_a_confirmed_takeover_ends_the_keepalive() -> None:
    desk = owned_by_other()
    desk.packet()
    desk.now += 0.05
    desk.confirmed()
    plan = desk.take()
    assert [client.name for client in plan.quiet] == ["client1"]
    assert plan.reset == []
    (measured,) = plan.observed
    assert measured.result == "confirmed"
    assert measured.seconds is not None
    assert abs(measured.seconds - 0.05) < MOMENT


def test_a_session_that_the_client_began_needs_no_quiet() -> None:
    desk = owned_by_other()
    desk.confirmed()
    plan = desk.take()
    assert (plan.quiet, plan.observed) == ([], [])


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
        assert (plan.observed, plan.quiet) == ([], [])
    assert desk.core.counts().confirmed == 0


# 10: no amplifier: test_takeover_abuse.py ------------------------------------------------


# What the prototype ran into -------------------------------------------------------------


def test_wireguard_is_not_left_repeating_an_unanswered_initiation() -> None:
    desk = owned_by_other()
    desk.packet()
    desk.take()
    desk.wait(10.0 + PATIENCE - MOMENT)
    assert desk.take().reset == []  # a late answer still counts
    desk.wait(10.0 + PATIENCE)
    assert [client.name for client in desk.take().reset] == ["client1"]
    assert PATIENCE < 5.0  # REKEY_TIMEOUT


def test_a_late_answer_still_confirms() -> None:
    desk = owned_by_other()
    desk.packet()
    desk.wait(10.0 + RESPONSE + 1.0)
    desk.take()
    desk.confirmed()
    assert [measured.result for measured in desk.take().observed] == ["confirmed"]
    desk.wait(60.0)
    assert desk.take().reset == []


def test_the_second_attempt_makes_the_peer_anew() -> None:
    desk = owned_by_other()
    desk.packets(10.0 + INTERVAL + 1.0)
    assert desk.initiated == ONCE + ANEW


def test_keys_of_a_session_just_lost_are_dropped_with_the_first_attempt() -> None:
    desk = lost_to_other()
    desk.route(None)
    desk.now += GRACE / 2
    desk.packet()
    plan = desk.take()
    assert [initiation.anew for initiation in plan.initiate] == [True]
    assert STALE_KEYS > GRACE + 2.0  # and a sample's interval


def test_the_owner_gets_its_packets_while_a_takeover_runs_and_after_it() -> None:
    desk = owned_by_other()
    assert desk.core.table.relays == {HOME: OTHER}
    desk.packet()
    desk.now += 0.05
    desk.confirmed()
    desk.route(None)
    plan = desk.take()
    assert (plan.put_relays, plan.remove_relays) == ({}, set())
    desk.wait(10.05 + KEEP - MOMENT)
    assert desk.take().remove_relays == set()
    desk.wait(10.05 + KEEP + MOMENT)
    assert desk.take().remove_relays == {HOME}


def test_packets_under_the_old_key_start_no_second_takeover() -> None:
    desk = took_over()
    desk.packets(desk.now + INTERVAL + 3.0)
    assert desk.initiated == []
    assert desk.core.counts().ignored["owned"] == 8


def test_a_vanished_owner_is_reported_from_and_forgotten_after_hold() -> None:
    desk = owned_by_other()
    desk.route(None)
    assert desk.take().put_relays == {HOME: None}
    desk.wait(10.0 + HOLD - MOMENT)
    assert desk.take().remove_relays == set()
    desk.wait(10.0 + HOLD)
    assert desk.take().remove_relays == {HOME}
    desk.packet()
    assert desk.initiated == []
    assert HOLD > 180.0  # no session lives longer


def test_another_node_was_faster() -> None:
    desk = owned_by_other()
    desk.packet()
    desk.take()
    desk.now += 0.02
    desk.route(THIRD, at=desk.now)
    desk.packets(10.0 + PATIENCE - MOMENT)
    plan = desk.take()
    assert plan.reset == []  # this node's handshake may be the newer one
    assert plan.put_relays == {HOME: THIRD}
    desk.wait(10.0 + PATIENCE)
    plan = desk.take()
    assert [client.name for client in plan.reset] == ["client1"]
    assert plan.observed == []


def test_another_node_was_faster_than_the_queue() -> None:
    desk = Desk(clients=2, backlog=1)
    desk.now = 1.0
    desk.route(OTHER)
    desk.route(OTHER, CAFE, number=2)
    desk.packet(CAFE)
    desk.packet(HOME)
    desk.take()
    desk.route(THIRD, at=desk.now)
    desk.wait(1.0 + INTERVAL)
    assert desk.initiated == []


def test_an_endpoint_that_is_another_clients_by_now() -> None:
    """A NAT gave the port away while its former user was in the queue."""
    desk = Desk(clients=3, backlog=1)
    desk.now = 1.0
    desk.route(OTHER)
    desk.route(OTHER, CAFE, number=2)
    desk.packet(CAFE)
    desk.packet(HOME)
    desk.take()
    desk.route(THIRD, at=desk.now, number=3)
    desk.wait(1.0 + RESPONSE + 0.1)
    assert desk.initiated == []
    assert desk.core.counts().waiting == 0


def test_a_client_whose_credential_is_rotated_is_tried_with_each() -> None:
    """Nobody here knows which one it uses; one that has ended is none."""
    names = [("old", None), ("new", None), ("ended", EPOCH + 5.0)]
    credentials = tuple(
        Credential(id=name, public_key=Key(bytes([number] * 32)), not_after=end)
        for number, (name, end) in enumerate(names, 50)
    )
    desk = Desk()
    rotated = msgspec.structs.replace(desk.enrolled[1], credentials=credentials)
    desk.tell(lambda *t: desk.core.clients([rotated], [], *t))
    desk.now = 10.0
    desk.route(OTHER)
    desk.packets(10.0 + 2 * INTERVAL + 1.0)
    assert [i.credential.id for i in desk.take().initiate] == ["new", "old", "new"]


def test_a_client_that_is_no_longer_enrolled() -> None:
    desk = owned_by_other()
    desk.tell(lambda *t: desk.core.clients([], ["id1"], *t))
    assert desk.take().remove_relays == {HOME}
    desk.packet()
    assert desk.initiated == []


def test_a_node_takes_its_own_clients_back_when_its_device_was_lost() -> None:
    desk = Desk()
    desk.confirmed()
    desk.take()
    desk.lost(moved=False)
    plan = desk.take()
    assert plan.forget == {HOME}  # at once: WireGuard knows these keys no more
    assert plan.put_relays == {HOME: None}
    desk.now += 0.2
    desk.packet()
    assert desk.initiated == ONCE


def test_what_is_told_to_people() -> None:
    desk = owned_by_other()
    desk.packets(10.0 + ATTEMPTS * INTERVAL)
    events = desk.take().events
    assert [event.kind for event in events] == [*["takeover.started"] * 3, "takeover.gave_up"]
    assert events[-1].message == "client1: not taken over: no answer to 3 initiations"
    assert events[0].data == {"attempt": 1, "endpoint": str(HOME), "owner": str(OTHER)}
    assert events[0].at == EPOCH + 10.0
