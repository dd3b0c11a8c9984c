"""After a restart of the agent: what the packet path still holds against what is known."""

from __future__ import annotations

from anycastle.agent.takeover.fake import FakePath
from anycastle.agent.takeover.orphans import ORPHANED
from tests.support.takeover_desk import CAFE, HOME, OTHER, THIRD, Desk, took_over

STRAY = CAFE._replace(port=1)


def restarted() -> Desk:
    """The path held three endpoints; nothing is known yet."""
    desk = Desk()
    desk.now = 100.0
    held = {HOME: OTHER, CAFE: OTHER, STRAY: None}
    desk.tell(lambda *t: desk.core.resync(held, *t))
    assert not desk.take()
    return desk


def test_what_this_nodes_clients_use_goes_as_soon_as_they_are_known() -> None:
    desk = restarted()
    desk.confirmed(HOME)
    assert desk.take().remove_relays == {HOME}


def test_and_at_once_when_they_are_known_already() -> None:
    desk = Desk()
    desk.confirmed(HOME)
    desk.tell(lambda *t: desk.core.resync({HOME: OTHER}, *t))
    assert desk.take().remove_relays == {HOME}


def test_what_bgp_confirms_stays_and_the_rest_goes_in_the_end() -> None:
    desk = restarted()
    desk.now += 1.0
    desk.route(OTHER, CAFE, number=2)
    assert desk.take().put_relays == {CAFE: OTHER}
    desk.wait(100.0 + ORPHANED - 0.1)
    assert desk.take().remove_relays == set()
    desk.wait(100.0 + ORPHANED)
    assert desk.take().remove_relays == {HOME, STRAY}


def test_an_endpoint_that_bgp_confirmed_and_that_became_ours_is_relayed_for_a_while() -> None:
    desk = restarted()
    desk.route(OTHER)
    desk.take()
    desk.confirmed(HOME)
    assert desk.take().remove_relays == set()


def test_a_path_that_may_not_know_own_indices_relays_nothing_of_own_clients() -> None:
    """It was made anew just after a takeover: the client's packets, under a key of this node
    that the path has not seen, would go to the old owner and be lost."""
    desk = took_over()
    assert desk.core.table.relays == {HOME: OTHER}
    desk.tell(lambda *t: desk.core.resync({}, *t))
    assert desk.core.table.relays == {}
    assert desk.take().put_relays == {}
    desk = took_over()
    desk.tell(lambda *t: desk.core.resync({HOME: OTHER}, *t))
    assert desk.take().remove_relays == {HOME}


def test_what_is_missing_or_wrong_is_put() -> None:
    desk = Desk()
    desk.now = 10.0
    desk.route(OTHER, HOME)
    desk.route(THIRD, CAFE, number=2)
    desk.take()
    desk.tell(lambda *t: desk.core.resync({HOME: THIRD}, *t))
    assert desk.take().put_relays == {HOME: OTHER, CAFE: THIRD}
    desk.tell(lambda *t: desk.core.resync({HOME: OTHER, CAFE: THIRD}, *t))
    assert not desk.take()


def test_packets_from_what_nobody_knows_lead_to_nothing() -> None:
    desk = restarted()
    desk.packet(STRAY)
    assert desk.initiated == []
    assert desk.core.counts().ignored["stray"] == 1


def test_the_fake_path_keeps_what_the_kernel_keeps() -> None:
    path = FakePath()
    path.put_relays({HOME: OTHER})
    path.learn(7, CAFE)
    assert path.data(8, HOME, 0.0) is None  # not trusted yet
    path.trust(True)
    assert path.data(8, HOME, 0.5) == OTHER
    assert path.data(7, CAFE, 0.6) == "here"
    path.forget([CAFE])
    assert path.data(7, CAFE, 0.7) == "here"  # nobody's: WireGuard drops it
    assert [event.kind.value for event in path.drain()] == ["foreign", "first"]
    assert path.drain() == []
    assert (path.counters().suppressed, path.counters().unknown) == (1, 1)
    path.close()
    path.close()
