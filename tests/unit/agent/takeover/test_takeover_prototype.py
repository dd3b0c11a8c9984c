"""What a prototype of the takeover ran into, rule by rule.

Each test fails when its rule is taken out.
"""

from __future__ import annotations

import msgspec

from anycastle.agent.sessions import (
    GRACE,
)
from anycastle.agent.takeover.machine import (
    ATTEMPTS,
    INTERVAL,
    PATIENCE,
    RESPONSE,
    STALE_KEYS,
)
from anycastle.agent.takeover.table import (
    HOLD,
    KEEP,
)
from anycastle.model.client import (
    Credential,
)
from anycastle.model.codec import (
    Key,
)
from tests.support.takeover_desk import (
    ANEW,
    CAFE,
    EPOCH,
    HOME,
    MOMENT,
    ONCE,
    OTHER,
    THIRD,
    Desk,
    lost_to_other,
    owned_by_other,
    took_over,
)


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


def test_each_takeover_of_a_client_is_kept_for_its_own_time() -> None:
    """The time of one before must not end that of a client that left and came back."""
    desk = took_over()
    desk.now += 0.5
    desk.route(OTHER, at=desk.now)
    desk.lost(moved=True)
    desk.wait(10.05 + KEEP - 1.0)
    desk.packet()
    desk.now += 0.05
    desk.confirmed()
    desk.wait(10.05 + KEEP + 1.0)
    assert desk.core.table.relays == {HOME: OTHER}
    desk.wait(10.05 + 2 * KEEP)
    assert desk.core.table.relays == {}


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
