"""The order and the pace of takeovers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.takeover.pacer import CAREFUL, SPACING, Pacer, source
from anycastle.model.addresses import Endpoint


def at(address: str, port: int = 4000) -> Endpoint:
    host = f"[{address}]" if ":" in address else address
    return Endpoint.parse(f"{host}:{port}")


def crowd(pacer: Pacer, count: int, address: str = "203.0.113.1") -> list[str]:
    """count clients behind one address; each sent a little later than the one before."""
    names = [f"c{number}" for number in range(count)]
    for number, name in enumerate(names):
        pacer.put(name, at(address, 4000 + number), active_at=float(number))
    return names


def test_the_one_who_sent_last_goes_first() -> None:
    pacer = Pacer(10)
    names = crowd(pacer, 4)
    assert list(pacer.take(10.0)) == names[::-1]


def test_an_idle_client_waits_for_all_others() -> None:
    pacer = Pacer(10)
    pacer.put("idle", at("203.0.113.9"), active_at=99.0, idle=True)
    names = crowd(pacer, 2)
    assert list(pacer.take(100.0)) == [*names[::-1], "idle"]


def test_a_thousand_clients_behind_one_address_need_not_wait_for_each_other() -> None:
    pacer = Pacer(100)
    names = crowd(pacer, 1000)
    now, done = 5000.0, []
    for _ in range(10):  # each time all that are open are answered, at the same moment
        taken = list(pacer.take(now))
        assert len(taken) == 100
        done += taken
        for name in taken:
            pacer.close(name)
    assert sorted(done) == sorted(names)
    assert pacer.next() is None


def test_no_more_than_the_backlog_is_open() -> None:
    pacer = Pacer(3)
    crowd(pacer, 5)
    first = list(pacer.take(10.0))
    assert len(first) == pacer.open == 3
    assert list(pacer.take(11.0)) == []
    assert pacer.next() is None  # only an answer helps
    pacer.close(first[1])
    assert len(list(pacer.take(11.0))) == 1


def test_a_source_that_did_not_answer_is_spaced() -> None:
    pacer = Pacer(10)
    crowd(pacer, 3)
    pacer.unanswered(at("203.0.113.1", 9), now=10.0)
    pacer.put("elsewhere", at("203.0.113.2"), active_at=0.0)
    assert list(pacer.take(10.0)) == ["c2", "elsewhere"]
    assert pacer.next() == 10.0 + SPACING
    assert list(pacer.take(10.0 + SPACING / 2)) == []
    assert list(pacer.take(10.0 + SPACING)) == ["c1"]
    assert list(pacer.take(10.001 + 2 * SPACING)) == ["c0"]


def test_care_ends() -> None:
    pacer = Pacer(10)
    pacer.unanswered(at("203.0.113.1"), now=10.0)
    crowd(pacer, 3)
    assert len(list(pacer.take(10.0 + CAREFUL))) == 3


def test_a_client_that_left_has_no_turn() -> None:
    pacer = Pacer(10)
    crowd(pacer, 3)
    pacer.remove("c2")
    pacer.remove("nobody")
    assert list(pacer.take(10.0)) == ["c1", "c0"]


def test_a_new_place_replaces_the_old_one() -> None:
    pacer = Pacer(10)
    crowd(pacer, 2)
    pacer.put("c0", at("203.0.113.7"), active_at=50.0)
    assert list(pacer.take(60.0)) == ["c0", "c1"]


def test_nobody_before_its_time() -> None:
    pacer = Pacer(10)
    pacer.put("c", at("203.0.113.1"), active_at=1.0, due=5.0)
    assert list(pacer.take(4.9)) == []
    assert pacer.next() == 5.0
    assert list(pacer.take(5.0)) == ["c"]


def test_a_source_is_what_wireguard_counts() -> None:
    assert source(at("203.0.113.1", 1)) == source(at("203.0.113.1", 2))
    assert source(at("203.0.113.1")) != source(at("203.0.113.2"))
    assert source(at("2001:db8:1:2::1")) == source(at("2001:db8:1:2:ffff::9"))
    assert source(at("2001:db8:1:2::1")) != source(at("2001:db8:1:3::1"))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 9), st.integers(0, 2)),
        st.tuples(st.just("remove"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("unanswered"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("close"), st.integers(0, 9), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 400), st.just(0)),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_the_limits_hold_and_nobody_is_forgotten(
    steps: list[tuple[str, int, int]],
) -> None:
    pacer, now = Pacer(3), 100.0
    place: dict[str, bytes] = {}
    open_, careful, last = set[str](), dict[bytes, float](), dict[bytes, float]()
    for what, number, where in [*steps, *[("wait", 400, 0)] * 40]:
        name, endpoint = f"c{number}", at(f"203.0.113.{where}", 4000 + number)
        if what == "put" and name not in open_:
            pacer.put(name, endpoint, active_at=now)
            place[name] = source(endpoint)
        elif what == "remove":
            pacer.remove(name)
            place.pop(name, None)
        elif what == "unanswered":
            pacer.unanswered(at(f"203.0.113.{number}"), now)
            careful[source(at(f"203.0.113.{number}"))] = now + CAREFUL
        elif what == "close":
            pacer.close(name)
            open_.discard(name)
        else:
            now += number / 100
            for client in open_:
                pacer.close(client)
            open_.clear()
        for taken in pacer.take(now):
            key = place.pop(taken)
            if careful.get(key, 0.0) > now and key in last and last[key] > careful[key] - CAREFUL:
                assert now - last[key] >= SPACING - 1e-9
            last[key] = now
            open_.add(taken)
        assert len(open_) <= 3
    assert place == {}
    assert len(pacer) == 0
