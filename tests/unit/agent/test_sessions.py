"""Who owns a client: tables of samples and routes, and a property over all of them."""

from collections.abc import Sequence
from ipaddress import IPv4Address, ip_address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.sessions import GRACE, LIFETIME, Outcome, Sessions
from anycastle.agent.wireguard.edge import PeerSample
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key

NOW = 1_800_000_000.0
HOME = Endpoint(ip_address("203.0.113.1"), 4000)
CAFE = Endpoint(ip_address("203.0.113.9"), 5000)
OTHER_NODE = IPv4Address("10.64.0.2")


def client(number: int, *keys: int) -> Client:
    return Client(
        id=f"id{number}",
        name=f"client{number}",
        addresses=(
            ip_address("10.200.0.16") + number,
            ip_address("fd00:200::10") + number,
        ),
        credentials=tuple(
            Credential(id=f"c{key}", public_key=Key(bytes([key] * 32))) for key in keys or (number,)
        ),
    )


ONE = client(1)
PREFIXES = [ip_network("10.200.0.17/32"), ip_network("fd00:200::11/128")]


def sample(
    handshake: float, received: int, endpoint: Endpoint | None = HOME, key: int = 1, sent: int = 0
) -> PeerSample:
    return PeerSample(Key(bytes([key] * 32)), endpoint, handshake, received, sent)


class World:
    """A node's sessions and the routes of other nodes."""

    def __init__(self, *clients: Client) -> None:
        self.routes: dict[Network, list[ClientRoute]] = {}
        self.sessions = Sessions(self.others)
        self.sessions.enrol(clients or (ONE,), NOW)

    def others(self, prefix: Network) -> Sequence[ClientRoute]:
        return self.routes.get(prefix, [])

    def hears(self, confirmed_at: float, now: float) -> list[Outcome]:
        for prefix in PREFIXES:
            self.routes[prefix] = [ClientRoute(prefix, CAFE, confirmed_at, OTHER_NODE)]
        return [self.sessions.learned(prefix, now) for prefix in PREFIXES]

    def sees(self, *samples: PeerSample, now: float = NOW) -> Outcome:
        return self.sessions.sampled(samples, now)


def owned_world() -> World:
    world = World()
    world.sees(sample(0.0, 0), now=NOW - 1)
    outcome = world.sees(sample(NOW, 180))
    assert [route.prefix for route in outcome.announce] == PREFIXES
    return world


def test_a_moved_handshake_with_bytes_confirms() -> None:
    world = World()
    assert world.sees(sample(0.0, 0)) == Outcome()
    outcome = world.sees(sample(NOW, 180))
    assert outcome.announce == [ClientRoute(prefix, HOME, NOW, None) for prefix in PREFIXES]
    assert [(event.kind, event.client) for event in outcome.events] == [
        ("session.confirmed", "client1")
    ]


def test_an_initiation_alone_confirms_nothing() -> None:
    world = World()
    assert world.sees(sample(0.0, 148, CAFE)) == Outcome()
    assert world.sessions.owned == {}


def test_a_handshake_waits_for_its_bytes() -> None:
    world = World()
    world.sees(sample(0.0, 148))
    assert world.sees(sample(NOW, 148)) == Outcome()
    assert world.sees(sample(NOW, 180)).announce


def test_a_rekey_is_not_announced() -> None:
    world = owned_world()
    assert world.sees(sample(NOW + 120, 5000), now=NOW + 121) == Outcome()
    owned = world.sessions.owned["id1"]
    assert (owned.confirmed_at, owned.handshake, owned.received) == (NOW, NOW + 120, 5000)


def test_a_new_endpoint_with_a_handshake_is_announced_with_its_time() -> None:
    outcome = owned_world().sees(sample(NOW + 30, 900, CAFE), now=NOW + 31)
    assert outcome.announce == [ClientRoute(p, CAFE, NOW + 30, None) for p in PREFIXES]
    assert outcome.withdraw == []


def test_a_roamed_endpoint_is_believed_when_more_bytes_come_from_it() -> None:
    world = owned_world()
    assert world.sees(sample(NOW, 328, CAFE), now=NOW + 1) == Outcome(), "a replayed initiation"
    assert world.sees(sample(NOW, 328, CAFE), now=NOW + 2) == Outcome()
    outcome = world.sees(sample(NOW, 360, CAFE), now=NOW + 3)
    assert outcome.announce == [ClientRoute(p, CAFE, NOW, None) for p in PREFIXES]


def test_an_endpoint_that_moves_back_was_never_believed() -> None:
    world = owned_world()
    world.sees(sample(NOW, 328, CAFE), now=NOW + 1)
    assert world.sees(sample(NOW, 400, HOME), now=NOW + 2) == Outcome()
    assert world.sessions.owned["id1"].endpoint == HOME


def test_a_session_without_a_handshake_ages_out() -> None:
    world = owned_world()
    assert world.sees(sample(NOW, 200), now=NOW + LIFETIME) == Outcome()
    outcome = world.sees(sample(NOW, 220), now=NOW + LIFETIME + 0.1)
    assert outcome.withdraw == PREFIXES
    assert outcome.events[0].data == {"reason": "no handshake for 180 s"}
    assert world.sees(sample(NOW, 240), now=NOW + LIFETIME + 1) == Outcome()


def test_a_restarted_agent_announces_live_sessions_with_their_own_time() -> None:
    world = World()
    outcome = world.sees(sample(NOW - 100, 9000))
    assert [route.confirmed_at for route in outcome.announce] == [NOW - 100] * 2


def test_a_restarted_agent_leaves_dead_sessions_alone() -> None:
    assert World().sees(sample(NOW - LIFETIME - 1, 9000)) == Outcome()


def test_the_loser_withdraws_and_resets_after_the_grace() -> None:
    world = owned_world()
    first, second = world.hears(NOW + 5, now=NOW + 6)
    assert first.withdraw == []
    assert [(owned.client, moved) for owned, moved in first.lost] == [(ONE, True)]
    assert second == Outcome()
    assert first.events[0].message == "client1: session lost: moved to 10.64.0.2"
    assert world.sessions.resets_due(NOW + 6 + GRACE - 0.01) == []
    assert world.sessions.resets_due(NOW + 6 + GRACE) == [ONE]
    assert world.sessions.leave([ONE.id]).withdraw == PREFIXES
    assert world.sessions.leave([ONE.id]) == Outcome()
    assert world.sessions.resets_due(NOW + 100) == []
    assert world.sees(sample(0.0, 0, None), now=NOW + 9) == Outcome()


def test_a_client_that_comes_back_within_the_grace_stays_announced() -> None:
    world = owned_world()
    world.hears(NOW + 5, now=NOW + 6)
    back = world.sees(sample(NOW + 7, 500), now=NOW + 7)
    assert {route.confirmed_at for route in back.announce} == {NOW + 7}
    assert world.sessions.resets_due(NOW + 100) == []
    assert world.sessions.leaving == []


def test_what_leaves_is_withdrawn_with_the_client_and_with_the_device() -> None:
    removed, bare = owned_world(), owned_world()
    for world in (removed, bare):
        world.hears(NOW + 5, now=NOW + 6)
    assert removed.sessions.remove([ONE.id], NOW + 7).withdraw == PREFIXES
    assert bare.sessions.device_gone(NOW + 7).withdraw == PREFIXES


def test_an_older_route_of_another_node_changes_nothing() -> None:
    world = owned_world()
    assert world.hears(NOW - 5, now=NOW + 1) == [Outcome(), Outcome()]
    assert "id1" in world.sessions.owned


def test_a_client_that_comes_back_within_the_grace_is_not_reset() -> None:
    world = owned_world()
    world.hears(NOW + 5, now=NOW + 5)
    outcome = world.sees(sample(NOW + 6, 2000), now=NOW + 6)
    assert [route.confirmed_at for route in outcome.announce] == [NOW + 6] * 2
    assert world.sessions.resets_due(NOW + 60) == []


def test_a_session_older_than_another_nodes_is_not_announced_but_reset() -> None:
    world = World()
    world.hears(NOW - 10, now=NOW)
    assert world.sees(sample(NOW - 50, 800)) == Outcome()
    assert world.sessions.resets_due(NOW + GRACE) == [ONE]


def test_a_removed_client_goes_at_once() -> None:
    world = owned_world()
    outcome = world.sessions.remove(["id1", "unknown"], NOW + 1)
    assert outcome.withdraw == PREFIXES
    assert world.sees(sample(NOW + 2, 999), now=NOW + 2) == Outcome()


def test_a_snapshot_removes_what_it_does_not_name() -> None:
    world = World(ONE, client(2))
    world.sees(sample(NOW, 10), sample(NOW, 10, key=2))
    outcome = world.sessions.replace_all([client(2)], NOW)
    assert outcome.withdraw == PREFIXES
    assert list(world.sessions.owned) == ["id2"]


def test_renaming_a_client_keeps_its_session() -> None:
    world = owned_world()
    renamed = Client(id="id1", name="x", addresses=ONE.addresses, credentials=ONE.credentials)
    assert world.sessions.enrol([renamed], NOW) == Outcome()
    assert world.sessions.owned["id1"].client.name == "x"
    assert world.sees(sample(NOW, 400), now=NOW + 1) == Outcome()


def test_new_addresses_or_another_key_end_the_session() -> None:
    for changed in (
        Client(id="id1", name="x", addresses=client(7).addresses, credentials=ONE.credentials),
        Client(id="id1", name="x", addresses=ONE.addresses, credentials=client(7).credentials),
    ):
        outcome = owned_world().sessions.enrol([changed], NOW)
        assert outcome.withdraw == PREFIXES


def test_the_newest_session_of_two_credentials_counts() -> None:
    world = World(client(1, 1, 2))
    world.sees(sample(NOW, 10, HOME, key=1))
    outcome = world.sees(sample(NOW, 10, HOME, key=1), sample(NOW + 5, 10, CAFE, key=2))
    assert [route.endpoint for route in outcome.announce] == [CAFE, CAFE]
    assert world.sees(sample(NOW, 90, HOME, key=1), sample(NOW + 5, 20, CAFE, key=2)) == Outcome()
    assert world.sessions.owned["id1"].key == Key(bytes([2] * 32))


def test_forgotten_keys_end_the_session() -> None:
    world = owned_world()
    outcome = world.sees(sample(0.0, 0, None), now=NOW + 1)
    assert outcome.withdraw == PREFIXES
    assert world.sees(sample(NOW + 9, 500), now=NOW + 9).announce


def test_a_vanished_device_ends_every_session() -> None:
    world = owned_world()
    assert world.sessions.device_gone(NOW).withdraw == PREFIXES
    assert world.sessions.owned == {}


def test_unknown_peers_are_ignored() -> None:
    assert World().sees(sample(NOW, 100, key=200)) == Outcome()


steps = st.lists(
    st.tuples(
        st.sampled_from(["rekey", "bytes", "roam", "reset", "hear", "wait", "unhear"]),
        st.floats(0.001, 60),
    ),
    max_size=40,
)


class History:
    """A client's life, step by step, and what BGP was told of it."""

    def __init__(self) -> None:
        self.world = World()
        self.now = NOW
        self.sample = sample(0.0, 0)
        self.told: dict[Network, ClientRoute] = {}

    def step(self, what: str, seconds: float) -> None:
        self.now += seconds
        heard = self.world.hears(self.now, self.now) if what == "hear" else []
        if what == "unhear":
            self.world.routes.clear()
        self.sample = self.after(what)
        seen = self.world.sees(self.sample, now=self.now)
        due = self.world.sessions.resets_due(self.now)
        left = self.world.sessions.leave(client.id for client in due)
        for outcome in [*heard, seen, left]:
            for prefix in outcome.withdraw:
                del self.told[prefix]
            self.told.update((route.prefix, route) for route in outcome.announce)

    def after(self, what: str) -> PeerSample:
        old = self.sample
        if what == "rekey":
            return sample(self.now, old.received + 148, old.endpoint)
        if what == "bytes":
            return sample(old.latest_handshake, old.received + 100, old.endpoint)
        if what == "roam":
            endpoint = CAFE if old.endpoint == HOME else HOME
            return sample(old.latest_handshake, old.received, endpoint)
        return sample(0.0, 0, old.endpoint) if what == "reset" else old


@given(steps)
def test_what_bgp_was_told_is_what_the_node_owns(steps: list[tuple[str, float]]) -> None:
    """Announcements less withdrawals always equal the owned sessions, whatever happens,
    and those that moved away within the grace."""
    history = History()
    for what, seconds in steps:
        history.step(what, seconds)
        owned, leaving = history.world.sessions.owned, history.world.sessions.leaving
        assert set(history.told) == (set(PREFIXES) if owned or leaving else set())
        assert not (owned and leaving)
        for route in () if leaving else history.told.values():
            assert route.endpoint == owned["id1"].endpoint
            assert route.confirmed_at == owned["id1"].confirmed_at
            others = history.world.others(route.prefix)
            assert all(other.confirmed_at <= route.confirmed_at for other in others)


def test_a_session_that_roams_when_it_ends_is_withdrawn() -> None:
    world = World()
    world.sees(sample(0.0, 0), now=NOW - 1)
    world.sees(sample(NOW, 200), now=NOW)
    world.sees(sample(NOW, 200, CAFE), now=NOW + 100)
    outcome = world.sees(sample(NOW, 300, CAFE), now=NOW + LIFETIME + 1)
    assert (outcome.announce, outcome.withdraw) == ([], PREFIXES)
    assert outcome.confirmed == []


def test_a_session_renewed_since_the_other_nodes_began_is_kept() -> None:
    """Two nodes that did not hear each other: the newest handshake wins, not the first route."""
    world = owned_world()
    owned = world.sessions.owned["id1"]
    world.sees(sample(owned.handshake + 60, 10_000), now=NOW + 60)
    kept, told_already = world.hears(owned.handshake + 30, now=NOW + 61)
    assert {route.confirmed_at for route in kept.announce} == {owned.handshake + 60}
    assert (kept.withdraw, kept.lost) == ([], [])
    assert told_already.announce == []
    assert not world.sessions.resets_due(NOW + 100)


def test_a_peer_that_begins_from_nothing_is_confirmed_by_the_answer_alone() -> None:
    """92 bytes are no more than the 92 of the last session that was initiated here."""
    world = World()
    world.sees(sample(0.0, 0), now=NOW - 1)
    world.sees(sample(NOW, 92), now=NOW)
    world.hears(NOW + 1, now=NOW + 1)
    world.routes.clear()
    world.sessions.restarted([Key(bytes([1] * 32))])
    outcome = world.sees(sample(NOW + 10, 92, CAFE), now=NOW + 10)
    assert [owned.endpoint for owned in outcome.confirmed] == [CAFE]


def test_a_peer_that_began_from_nothing_is_not_reset_in_the_middle_of_its_handshake() -> None:
    """Lost to another node, and initiated to a second later: the reset has nothing to do."""
    world = World()
    world.sees(sample(0.0, 0), now=NOW - 1)
    owned = world.sees(sample(NOW, 1000), now=NOW).confirmed[0]
    world.hears(NOW + 1, now=NOW + 1)
    outcome = world.sessions.restarted([owned.key])
    assert set(outcome.withdraw) == {route.prefix for route in owned.routes()}
    assert world.sessions.resets_due(NOW + 1 + GRACE) == []
    assert world.sessions.restarted([owned.key]).withdraw == []
