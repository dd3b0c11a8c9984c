"""The session table: who owns whom, as routes and sessions come and go in any order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.takeover.table import HOLD, Claim, Row, Table
from anycastle.model.addresses import Endpoint
from tests.support.simulated_cluster import client
from tests.support.takeover_desk import CAFE, HOME, OTHER, OWN, THIRD

ONE, TWO = client(1), client(2)
V4, V6 = ONE.addresses


def filled() -> tuple[Table, Row]:
    """Both of client 1's routes say: OTHER, HOME, since 100."""
    table = Table(OWN)
    table.put(TWO, 0.0)
    row = table.put(ONE, 0.0)
    for address in ONE.addresses:
        table.hear(address, Claim(OTHER, HOME, 100.0), 0.0)
    table.changes()
    return table, row


def test_a_route_is_found_by_everything() -> None:
    table, row = filled()
    assert table.get("id1") is table.of(V4) is table.of(V6) is table.at(HOME) is row
    assert row.claim == (OTHER, HOME, 100.0)
    assert row.live
    assert table.relays == {HOME: OTHER}
    assert row.heard[0] is row.heard[1]  # one object for both addresses


def test_one_address_is_enough_for_an_owner_and_two_must_go() -> None:
    table, row = filled()
    table.hear(V4, None, 5.0)
    assert row.live
    table.hear(V6, None, 6.0)
    assert (row.live, row.vanished_at) == (False, 6.0)
    assert table.changes() == ({HOME: None}, set())


def test_the_newer_of_two_addresses_counts() -> None:
    table, row = filled()
    newer = Claim(THIRD, CAFE, 200.0)
    table.hear(V6, newer, 1.0)
    assert row.claim == newer
    table.hear(V4, newer, 1.1)
    assert row.claim == newer
    assert table.changes() == ({CAFE: THIRD}, {HOME})


def test_an_older_route_waits_until_the_newer_ones_hold_is_over() -> None:
    table, row = filled()
    older = Claim(THIRD, CAFE, 50.0)
    for address in ONE.addresses:
        table.hear(address, older, 5.0)
    assert row.claim == (OTHER, HOME, 100.0)
    assert row.vanished_at == 5.0
    table.expire(row, 5.0 + HOLD - 0.1)
    assert row.claim == (OTHER, HOME, 100.0)
    table.expire(row, 5.0 + HOLD)
    assert row.claim == older
    assert row.live


def test_what_an_owner_says_anew_always_counts() -> None:
    table, row = filled()
    for address in ONE.addresses:
        table.hear(address, Claim(OTHER, CAFE, 90.0), 5.0)  # its clock was set back
    assert row.claim == (OTHER, CAFE, 90.0)
    assert table.at(HOME) is None


def test_an_owner_that_comes_back_is_live_again() -> None:
    table, row = filled()
    for address in ONE.addresses:
        table.hear(address, None, 5.0)
    table.hear(V4, Claim(OTHER, HOME, 100.0), 6.0)
    assert row.live
    table.expire(row, 5.0 + HOLD)
    assert row.live


def test_a_port_that_a_nat_gave_to_another_client() -> None:
    table, _ = filled()
    for address in TWO.addresses:
        table.hear(address, Claim(THIRD, HOME, 160.0), 60.0)
    two = table.get("id2")
    assert table.at(HOME) is two
    assert table.changes() == ({HOME: THIRD}, set())


def test_the_order_of_arrival_does_not_decide_about_a_port() -> None:
    table = Table(OWN)
    one, two = table.put(ONE, 0.0), table.put(TWO, 0.0)
    table.hear(TWO.addresses[0], Claim(THIRD, HOME, 160.0), 1.0)
    table.hear(V4, Claim(OTHER, HOME, 100.0), 2.0)
    assert table.at(HOME) is two
    table.hear(TWO.addresses[0], Claim(THIRD, CAFE, 160.0), 3.0)
    assert (table.at(HOME), table.at(CAFE)) == (one, two)


def test_several_clients_behind_one_address() -> None:
    table, one = filled()
    neighbour = HOME._replace(port=HOME.port + 1)
    table.hear(TWO.addresses[0], Claim(OTHER, neighbour, 160.0), 1.0)
    assert (table.at(HOME), table.at(neighbour)) == (one, table.get("id2"))


def test_own_clients_are_never_relayed_but_while_kept() -> None:
    table, row = filled()
    table.own(row, HOME, 200.0)
    assert table.changes() == ({}, set())  # kept
    table.hear(V4, None, 1.0)
    table.hear(V6, None, 1.0)
    assert table.changes() == ({}, set())
    table.end_keep(row)
    assert table.changes() == ({}, {HOME})
    assert table.at(HOME) is row


def test_a_vanished_owners_relay_is_not_kept() -> None:
    table, row = filled()
    for address in ONE.addresses:
        table.hear(address, None, 5.0)
    table.changes()
    table.own(row, HOME, 200.0)
    assert table.changes() == ({}, {HOME})


def test_a_session_lost_to_another_node() -> None:
    table, row = filled()
    table.own(row, HOME, 200.0)
    table.end_keep(row)
    for address in ONE.addresses:
        table.hear(address, Claim(THIRD, HOME, 300.0), 5.0)
    table.disown(row, 5.0)
    assert row.claim == (THIRD, HOME, 300.0)
    assert row.live
    assert table.changes() == ({HOME: THIRD}, set())


def test_routes_may_come_before_the_client() -> None:
    table = Table(OWN)
    assert table.hear(V4, Claim(OTHER, HOME, 100.0), 0.0) is None
    table.hear(V6, Claim(OTHER, HOME, 100.0), 0.0)
    table.hear(V6, None, 0.0)
    row = table.put(ONE, 1.0)
    assert row.heard == ((OTHER, HOME, 100.0), None)
    assert table.at(HOME) is row


def test_a_removed_client_is_nobodys_and_its_routes_wait() -> None:
    table, _ = filled()
    table.remove("id1")
    assert (table.at(HOME), table.of(V4), table.get("id1")) == (None, None, None)
    assert table.changes() == ({}, {HOME})
    assert table.put(ONE, 1.0).live


def test_other_addresses_are_another_row() -> None:
    table, row = filled()
    moved = type(ONE)(
        id=ONE.id, name=ONE.name, addresses=client(9).addresses, credentials=ONE.credentials
    )
    new = table.put(moved, 1.0)
    assert new is not row
    assert table.of(V4) is None
    assert table.at(HOME) is None


def test_nothing_of_a_removed_client_comes_back() -> None:
    """Its time of vanishing was running, and an older route waited for it to end."""
    table, row = filled()
    table.hear(V4, Claim(THIRD, CAFE, 50.0), 1.0)
    table.hear(V6, None, 1.0)
    assert row.vanished_at == 1.0
    table.remove("id1")
    table.expire(row, 1.0 + HOLD)
    assert (table.at(HOME), table.at(CAFE)) == (None, None)
    assert table.changes() == ({}, {HOME})


endpoints = st.sampled_from([HOME, CAFE, HOME._replace(port=1)])
claims = st.builds(Claim, st.sampled_from([OTHER, THIRD]), endpoints, st.integers(1, 9).map(float))
clients = st.sampled_from([ONE, TWO, client(3)])
steps = st.one_of(
    st.tuples(st.just("hear"), clients, st.integers(0, 1), st.none() | claims),
    st.tuples(st.just("own"), clients, endpoints, st.integers(1, 9).map(float)),
    st.tuples(st.sampled_from(["disown", "end_keep", "expire", "remove", "put"]), clients),
)


@given(st.lists(steps, max_size=40))
def test_indices_agree_with_the_rows(todo: list[tuple[object, ...]]) -> None:
    """Whatever happens, an endpoint is found if and only if some row has it, and the relays
    that were told are the ones that follow."""
    table, told, now = Table(OWN), dict[Endpoint, object](), 0.0
    for what, who, *arguments in todo:
        now += 50.0
        row = table.get(who.id)  # type: ignore[attr-defined]
        if what == "put" or row is None:
            table.put(who, now)  # type: ignore[arg-type]
        elif what == "hear":
            table.hear(who.addresses[arguments[0]], arguments[1], now)  # type: ignore[attr-defined, arg-type]
        elif what == "own":
            table.own(row, *arguments)  # type: ignore[arg-type]
        elif what == "disown":
            table.disown(row, now)
        elif what == "expire":
            table.expire(row, now)
        elif what == "end_keep":
            table.end_keep(row)
        else:
            table.remove(row.client.id)
        put, remove = table.changes()
        assert not put.keys() & remove
        told = {e: to for e, to in (told | put).items() if e not in remove}
        assert told == table.relays
        _agree(table)


def _agree(table: Table) -> None:
    claimed = {c.endpoint for row in table for c in (row.claim, row.own) if c is not None}
    assert {e for e in (HOME, CAFE, HOME._replace(port=1)) if table.at(e)} == claimed
    for endpoint in claimed:
        row = table.at(endpoint)
        assert row is not None
        relay = table.relays.get(endpoint, "none")
        if row.own is not None and not row.keep:
            assert relay == "none"
        elif row.own is None:
            assert row.claim is not None
            assert relay == (row.claim.owner if row.live else None)
