"""The pacer held against its own rules written down plainly, and against WireGuard's limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address

from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.takeover.pacer import BACKLOG, CAREFUL, SPACING, Pacer, source
from anycastle.model.addresses import Endpoint

COOKIES = {"kernel": 512, "userspace": 128}
"""Queued handshake messages from which on WireGuard answers with cookies: the kernel's
MAX_QUEUED_INCOMING_HANDSHAKES / 8, wireguard-go's QueueHandshakeSize / 8."""
PER_SECOND = 20
"""Handshakes from one source that WireGuard takes in that state."""


def at(number: int, port: int = 4000) -> Endpoint:
    return Endpoint(ip_address("203.0.113.0") + number, port)


def test_constants_stay_clear_of_wireguards() -> None:
    assert all(BACKLOG[kind] < COOKIES[kind] for kind in COOKIES)
    assert 1 / SPACING <= PER_SECOND


@dataclass
class Plain:
    """The same rules by looking at everybody each time."""

    backlog: int
    waiting: dict[str, tuple[bool, float, int, Endpoint, float]] = field(default_factory=dict)
    free: dict[bytes, float] = field(default_factory=dict)
    careful: dict[bytes, float] = field(default_factory=dict)
    open: set[str] = field(default_factory=set)
    number: int = 0

    def put(self, name: str, endpoint: Endpoint, active: float, idle: bool, due: float) -> None:
        self.number += 1
        self.waiting[name] = (idle, -active, self.number, endpoint, due)

    def take(self, now: float) -> list[str]:
        taken = []
        while len(self.open) < self.backlog:
            able = [
                (*rank, name)
                for name, (*rank, endpoint, due) in self.waiting.items()
                if due <= now and self.free.get(source(endpoint), 0.0) <= now
            ]
            if not able:
                break
            name = str(min(able)[-1])
            key = source(self.waiting.pop(name)[3])
            if self.careful.get(key, 0.0) > now:
                self.free[key] = now + SPACING
            self.open.add(name)
            taken.append(name)
        return taken


names = st.sampled_from("abcdefgh")
actions = st.one_of(
    st.tuples(
        st.just("put"),
        names,
        st.integers(1, 3),
        st.floats(0.0, 9.0),
        st.booleans(),
        st.sampled_from([0.0, 0.0, 10.1, 10.4]),
    ),
    st.tuples(st.just("remove"), names),
    st.tuples(st.just("close"), names),
    st.tuples(st.just("unanswered"), st.integers(1, 3)),
    st.tuples(st.just("wait"), st.sampled_from([0.0, 0.02, SPACING, 0.2])),
)


@given(st.integers(1, 4), st.lists(actions, max_size=60))
def test_it_does_what_the_plain_rules_say(backlog: int, todo: list[tuple[object, ...]]) -> None:
    pacer, plain, now = Pacer(backlog), Plain(backlog), 10.0
    for what, *arguments in todo:
        if what == "put":
            name, number, active, idle, due = arguments
            # A client has one place: where it is known to be.
            endpoint = at(number, ord(name))  # type: ignore[arg-type]
            pacer.put(name, endpoint, active, idle=idle, due=due)  # type: ignore[arg-type]
            plain.put(name, endpoint, active, idle, due)  # type: ignore[arg-type]
        elif what == "wait":
            now += arguments[0]  # type: ignore[operator]
            early = pacer.next()
            taken = list(pacer.take(now))
            assert taken == plain.take(now)
            assert not taken or (early is not None and early <= now)
        elif what == "remove":
            pacer.remove(arguments[0])  # type: ignore[arg-type]
            plain.waiting.pop(arguments[0], None)  # type: ignore[call-overload]
        elif what == "unanswered":
            pacer.unanswered(at(arguments[0]), now)  # type: ignore[arg-type]
            plain.careful[source(at(arguments[0]))] = now + CAREFUL  # type: ignore[arg-type]
        else:
            pacer.close(arguments[0])  # type: ignore[arg-type]
            plain.open.discard(arguments[0])
        assert pacer.open == len(plain.open)
        assert len(pacer) == len(plain.waiting)
