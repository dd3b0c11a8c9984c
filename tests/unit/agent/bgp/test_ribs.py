"""What is to be sent and what was heard."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.bgp.attributes import PathAttributes
from anycastle.agent.bgp.messages import Decoder, Update
from anycastle.agent.bgp.ribs import Incoming, Outgoing
from anycastle.agent.bgp.wire import MAX_MESSAGE, Afi

PREFIXES = [ip_network(f"10.0.0.{n}/32") for n in range(6)] + [
    ip_network(f"fd00::{n}/128") for n in range(6)
]
FOUR, SIX = PREFIXES[0], PREFIXES[-1]


def describe(prefix_version: int, route: int) -> PathAttributes:
    hop = IPv4Address("192.0.2.2") if prefix_version == 4 else IPv6Address("2001:db8::2")
    return PathAttributes(next_hop=hop, local_pref=route)


class Daemon:
    """What a neighbour that was sent these messages holds."""

    def __init__(self) -> None:
        self.table: dict[object, int | None] = {}
        self.ends: list[Afi] = []
        self.messages = 0

    def read(self, batch: Iterable[bytes]) -> None:
        for data in batch:
            self.messages += 1
            (update,) = Decoder().feed(data)
            assert isinstance(update, Update)
            assert len(data) <= MAX_MESSAGE
            assert not update.problems
            for prefix in update.withdrawn:
                self.table.pop(prefix, None)
            for prefix in update.announced:
                assert update.attributes is not None
                self.table[prefix] = update.attributes.local_pref
            if update.end_of_rib:
                self.ends.append(update.end_of_rib)


def outgoing() -> Outgoing[tuple[int, int]]:
    return Outgoing(lambda route: describe(*route))


def drain(out: Outgoing[tuple[int, int]], daemon: Daemon, count: int = 3) -> None:
    while batch := out.take(count):
        daemon.read(batch)
    assert out.idle


steps = st.lists(
    st.tuples(st.sampled_from(PREFIXES), st.none() | st.integers(0, 3), st.booleans()), max_size=40
)


@given(steps, st.integers(1, 5))
def test_the_daemon_ends_up_with_what_was_announced(
    changes: list[tuple[IPv4Network | IPv6Network, int | None, bool]], count: int
) -> None:
    out, daemon = outgoing(), Daemon()
    wanted: dict[IPv4Network | IPv6Network, object] = {}
    for prefix, value, send in changes:
        if value is None:
            out.withdraw(prefix)
            wanted.pop(prefix, None)
        else:
            out.announce(prefix, (prefix.version, value))
            wanted[prefix] = value
        if send:
            daemon.read(out.take(count))
    drain(out, daemon, count)
    assert daemon.table == wanted
    fresh = Daemon()
    out.restart()
    out.end()
    drain(out, fresh, count)
    assert fresh.table == wanted
    assert fresh.ends == [Afi.IPV4, Afi.IPV6]


def test_what_the_daemon_knows_is_not_sent_again() -> None:
    out, daemon = outgoing(), Daemon()
    for _ in range(3):
        out.announce(FOUR, (4, 1))
        drain(out, daemon)
    out.withdraw(SIX)
    drain(out, daemon)
    assert daemon.messages == 1


def test_equal_attributes_share_messages() -> None:
    out, daemon = outgoing(), Daemon()
    many = [IPv4Network((n, 32)) for n in range(5000)] + [
        IPv6Network((n, 128)) for n in range(5000)
    ]
    for prefix in many:
        out.announce(prefix, (prefix.version, 7))
    drain(out, daemon, count=10_000)
    assert len(daemon.table) == 10_000
    # 5 and 17 bytes a prefix, some 3,500 bytes a message.
    assert daemon.messages <= 8 + 25
    daemon.messages = 0
    for prefix in many:
        out.withdraw(prefix)
    drain(out, daemon, count=10_000)
    assert daemon.table == {}
    assert daemon.messages <= 7 + 22


def test_end_of_rib_follows_everything_that_was_pending() -> None:
    out, daemon = outgoing(), Daemon()
    for prefix in PREFIXES:
        out.announce(prefix, (prefix.version, 1))
    out.end()
    while batch := out.take(2):
        daemon.read(batch)
        assert not daemon.ends or len(daemon.table) == len(PREFIXES)
    assert daemon.ends == [Afi.IPV4, Afi.IPV6]


def test_a_refresh_repeats_one_family() -> None:
    out, daemon = outgoing(), Daemon()
    for prefix in PREFIXES:
        out.announce(prefix, (prefix.version, 1))
    drain(out, daemon)
    daemon.table.clear()
    out.resend(Afi.IPV6)
    drain(out, daemon)
    assert set(daemon.table) == {prefix for prefix in PREFIXES if prefix.version == 6}


def test_what_was_heard_survives_until_the_next_connection_is_complete() -> None:
    heard: Incoming[str] = Incoming()
    heard.restart()
    assert heard.put(FOUR, "a")
    assert not heard.put(FOUR, "a")
    assert heard.put(FOUR, "b")
    assert heard.put(PREFIXES[1], "a")
    assert heard.put(SIX, "a")
    heard.restart()
    assert heard.get(FOUR) == "b"
    assert not heard.put(FOUR, "b")
    assert heard.sweep(Afi.IPV4) == [PREFIXES[1]]
    assert heard.get(PREFIXES[1]) is None
    assert heard.get(SIX) == "a"
    assert heard.sweep(Afi.IPV6) == [SIX]
    assert heard.remove(FOUR)
    assert not heard.remove(FOUR)
    assert dict(heard.items()) == {}
