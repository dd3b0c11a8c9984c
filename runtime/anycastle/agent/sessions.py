"""Which clients this node owns, judged from samples of WireGuard and from BGP. No I/O.

A session is confirmed when the peer's `latest handshake` moved *and* bytes were received
since: an initiation alone moves the endpoint already, and a replayed one can put a wrong
address there; the handshake time of a responder moves with the first data packet under
the new key, which nobody else could have sent. Where the node itself initiated, the time
moves with the client's response, which only the client could have made for that very
initiation, and whose bytes count. A roamed endpoint is believed when data
came in after it was first seen, for the same reason. Data messages are multiples of 16
bytes long and handshake messages are not (148 and 92), which tells a growth that includes
replayed initiations: the client's next packet has to prove it.

The node that holds a client's newest confirmed session owns the client. It announces
the client's addresses when it becomes the owner and when the endpoint changes, not at
each re-key: the time in the route stays that of the confirmation, so the session of
another node that begins later wins everywhere. The loser, GRACE seconds later, withdraws
and forgets the peer's keys and timers: otherwise they would initiate one day and steal
the client back. The grace lets packets that are on their way still be decrypted; and a
route that was worse everywhere already can't be missed at a node which the better one
reaches a little later.

Times are epoch seconds, as WireGuard reports handshakes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.wireguard.edge import PeerSample
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.client import Client
from anycastle.model.codec import Key
from anycastle.model.status import Event

LIFETIME = 180.0
"""Seconds after which a session's keys are dead (WireGuard's REJECT_AFTER_TIME)."""
GRACE = 2.0
"""Seconds between losing a client to another node and forgetting its keys."""


@dataclass(frozen=True, slots=True)
class Owned:
    """A confirmed session. confirmed_at: when this node became the owner, or the
    endpoint last changed; it is what BGP compares. handshake: the newest one."""

    client: Client
    key: Key
    endpoint: Endpoint
    confirmed_at: float
    handshake: float
    received: int
    sent: int

    def routes(self) -> list[ClientRoute]:
        return [
            ClientRoute(prefix, self.endpoint, self.confirmed_at, None)
            for prefix in prefixes(self.client)
        ]


@dataclass(slots=True)
class Outcome:
    """What has to happen in BGP, and what to tell people and the takeover.

    confirmed: sessions that are this node's now, or whose endpoint moved. lost: those
    that are no longer; with each, did another node win it?
    """

    announce: list[ClientRoute] = field(default_factory=list)
    withdraw: list[Network] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    confirmed: list[Owned] = field(default_factory=list)
    lost: list[tuple[Owned, bool]] = field(default_factory=list)

    def merge(self, later: Outcome) -> None:
        """Add what came out later."""
        self.announce += later.announce
        self.withdraw += later.withdraw
        self.events += later.events
        self.confirmed += later.confirmed
        self.lost += later.lost


@dataclass(slots=True)
class _Seen:
    """The last sample of a peer, as far as it was understood.

    handshake: the last confirmed one. received: bytes at that time, or later.
    roamed: an endpoint that is not yet believed, with the bytes when it appeared.
    """

    handshake: float = 0.0
    received: int = 0
    roamed: tuple[Endpoint, int] | None = None


def prefixes(client: Client) -> list[Network]:
    """The client's addresses as host routes."""
    return [ip_network(address) for address in client.addresses]


class Sessions:
    """The state behind the rules above. others: a prefix's routes from other nodes,
    newest first (`Speaker.others`)."""

    def __init__(self, others: Callable[[Network], Sequence[ClientRoute]]) -> None:
        self._others = others
        self._clients: dict[str, Client] = {}
        self._by_key: dict[Key, str] = {}
        self._by_prefix: dict[Network, str] = {}
        self._seen: dict[Key, _Seen] = {}
        self._resets: dict[str, float] = {}
        self._leaving: dict[str, list[Network]] = {}
        self.owned: dict[str, Owned] = {}

    def enrol(self, clients: Iterable[Client], now: float) -> Outcome:
        """Take clients that are new or changed."""
        outcome = Outcome()
        for client in clients:
            known = self._clients.get(client.id)
            if known == client:
                continue
            if known is not None:
                self._unindex(known)
                outcome.withdraw += self._leaving.pop(client.id, [])
                self._change(client, now, outcome)
            self._clients[client.id] = client
            self._by_key.update((c.public_key, client.id) for c in client.credentials)
            self._by_prefix.update((prefix, client.id) for prefix in prefixes(client))
        return outcome

    def _change(self, client: Client, now: float, outcome: Outcome) -> None:
        owned = self.owned.get(client.id)
        if owned is None:
            return
        if _same_session(owned, client):
            self.owned[client.id] = replace(owned, client=client)
        else:
            self._lose(owned, "the client's configuration changed", now, outcome)

    def remove(self, clients: Iterable[str], now: float) -> Outcome:
        """Forget removed clients, by id; their routes go at once."""
        outcome = Outcome()
        for client_id in clients:
            client = self._clients.pop(client_id, None)
            owned = self.owned.get(client_id)
            if owned is not None:
                self._lose(owned, "the client was removed", now, outcome)
            if client is not None:
                self._unindex(client)
            self._resets.pop(client_id, None)
            outcome.withdraw += self._leaving.pop(client_id, [])
        return outcome

    def replace_all(self, clients: Iterable[Client], now: float) -> Outcome:
        """The whole set of clients, from a snapshot."""
        wanted = {client.id: client for client in clients}
        outcome = self.remove(self._clients.keys() - wanted.keys(), now)
        outcome.merge(self.enrol(wanted.values(), now))
        return outcome

    def sampled(self, samples: Iterable[PeerSample], now: float) -> Outcome:
        """Judge one sample of every peer."""
        outcome = Outcome()
        for sample in samples:
            client_id = self._by_key.get(sample.public_key)
            if client_id is not None:
                self._judge(self._clients[client_id], sample, now, outcome)
        self._expire(now, outcome)
        return outcome

    def _expire(self, now: float, outcome: Outcome) -> None:
        expired = [o for o in self.owned.values() if now - o.handshake > LIFETIME]
        if not expired:
            return
        # One may have roamed in this very sample: its withdrawal has to be the last word.
        gone = {prefix for owned in expired for prefix in prefixes(owned.client)}
        outcome.announce = [route for route in outcome.announce if route.prefix not in gone]
        outcome.confirmed = [owned for owned in outcome.confirmed if owned not in expired]
        for owned in expired:
            self._lose(owned, f"no handshake for {LIFETIME:.0f} s", now, outcome)

    def learned(self, prefix: Network, now: float) -> Outcome:
        """Another node's route to `prefix` came, changed or went.

        A session that was renewed here since the other node's began is the newest: the
        two nodes did not hear each other for a while. So its time is announced now.
        """
        outcome = Outcome()
        owned = self.owned.get(self._by_prefix.get(prefix, ""))
        if owned is None or not (winner := self._winner(owned.client, owned.confirmed_at)):
            return outcome
        if winner.confirmed_at < owned.handshake:
            self._own(replace(owned, confirmed_at=owned.handshake), outcome, "kept")
        else:
            self._lose(owned, f"moved to {winner.owner}", now, outcome, moved=True)
            self._resets[owned.client.id] = now + GRACE
        return outcome

    def device_gone(self, now: float) -> Outcome:
        """The WireGuard device vanished, and every session with it."""
        outcome = Outcome()
        for owned in list(self.owned.values()):
            self._lose(owned, "the WireGuard device is gone", now, outcome)
        self._seen.clear()
        outcome.merge(self.leave(list(self._leaving)))
        return outcome

    def restarted(self, keys: Iterable[Key]) -> Outcome:
        """These peers were removed and added: their counters begin at 0, and there is nothing
        left to forget. A reset that was due would cut the handshake that has begun since."""
        clients = []
        for key in keys:
            self._seen.pop(key, None)
            client_id = self._by_key.get(key)
            if client_id is not None and self._resets.pop(client_id, None) is not None:
                clients.append(client_id)
        return self.leave(clients)

    def leave(self, clients: Iterable[str]) -> Outcome:
        """Withdraw what is still announced of these clients (ids), who moved elsewhere."""
        routes = [self._leaving.pop(client_id, []) for client_id in clients]
        return Outcome(withdraw=[prefix for each in routes for prefix in each])

    @property
    def leaving(self) -> list[str]:
        """Ids of clients who moved elsewhere and are still announced."""
        return list(self._leaving)

    def owned_keys(self) -> set[Key]:
        """The peers under whose keys the owned sessions run."""
        return {owned.key for owned in self.owned.values()}

    def resets_due(self, now: float) -> list[Client]:
        """Clients whose grace is over: they `leave`, and their peers are to be reset now.

        Each is returned once.
        """
        due = [client_id for client_id, at in self._resets.items() if at <= now]
        for client_id in due:
            del self._resets[client_id]
        return [self._clients[client_id] for client_id in due if client_id in self._clients]

    def _judge(self, client: Client, sample: PeerSample, now: float, outcome: Outcome) -> None:
        seen = self._seen.setdefault(sample.public_key, _Seen())
        owned = self.owned.get(client.id)
        if owned is not None and owned.key != sample.public_key:
            owned = None  # the session runs under another credential of the client
        if sample.latest_handshake < seen.handshake or sample.received < seen.received:
            seen = self._seen[sample.public_key] = _Seen()
            if owned is not None:
                self._lose(owned, "WireGuard forgot the peer's keys", now, outcome)
                owned = None
        moved = sample.latest_handshake > seen.handshake
        if moved and sample.received > seen.received and sample.endpoint is not None:
            seen.handshake = sample.latest_handshake
            if now - sample.latest_handshake <= LIFETIME:
                self._confirm(client, sample, sample.endpoint, now, outcome)
            seen.roamed = None
        elif owned is not None:
            self._continue(owned, sample, seen, outcome)
        if not moved or seen.handshake == sample.latest_handshake:
            seen.received = sample.received

    def _confirm(
        self, client: Client, sample: PeerSample, endpoint: Endpoint, now: float, outcome: Outcome
    ) -> None:
        owned = self.owned.get(client.id)
        handshake = sample.latest_handshake
        if owned is not None and owned.handshake > handshake:
            return  # an older session under the client's other credential
        if owned is not None and owned.endpoint == endpoint:
            self.owned[client.id] = _with(owned, sample)
            return
        if self._winner(client, handshake):
            self._resets[client.id] = now + GRACE
            return
        new = Owned(
            client,
            sample.public_key,
            endpoint,
            handshake,
            handshake,
            sample.received,
            sample.sent,
        )
        self._own(new, outcome, "confirmed" if owned is None else "moved")

    def _continue(self, owned: Owned, sample: PeerSample, seen: _Seen, outcome: Outcome) -> None:
        """A sample without a new handshake: counters, perhaps another endpoint."""
        owned = self.owned[owned.client.id] = _with(owned, sample, handshake=owned.handshake)
        if sample.endpoint is None or sample.endpoint == owned.endpoint:
            seen.roamed = None
        elif (
            seen.roamed is None
            or seen.roamed[0] != sample.endpoint
            or (sample.received - seen.roamed[1]) % 16
        ):
            seen.roamed = (sample.endpoint, sample.received)
        elif sample.received > seen.roamed[1]:
            seen.roamed = None
            # Not "now": a session that began elsewhere meanwhile has to win.
            at = max(owned.confirmed_at, owned.handshake)
            self._own(replace(owned, endpoint=sample.endpoint, confirmed_at=at), outcome, "roamed")

    def _own(self, owned: Owned, outcome: Outcome, how: str) -> None:
        self.owned[owned.client.id] = owned
        self._resets.pop(owned.client.id, None)
        self._leaving.pop(owned.client.id, None)
        outcome.announce += owned.routes()
        outcome.confirmed.append(owned)
        message = f"{owned.client.name}: session {how} at {owned.endpoint}"
        outcome.events.append(
            Event(
                kind="session.confirmed",
                at=owned.handshake,
                message=message,
                client=owned.client.name,
                data={"endpoint": str(owned.endpoint), "how": how},
            )
        )

    def _lose(
        self, owned: Owned, reason: str, now: float, outcome: Outcome, *, moved: bool = False
    ) -> None:
        del self.owned[owned.client.id]
        outcome.lost.append((owned, moved))
        if moved:
            self._leaving[owned.client.id] = prefixes(owned.client)
        else:
            outcome.withdraw += prefixes(owned.client)
        message = f"{owned.client.name}: session lost: {reason}"
        outcome.events.append(
            Event(
                kind="session.lost",
                at=now,
                message=message,
                client=owned.client.name,
                data={"reason": reason},
            )
        )

    def _winner(self, client: Client, confirmed_at: float) -> ClientRoute | None:
        """The newest route of another node, if it is newer than `confirmed_at`."""
        newest = [routes[0] for p in prefixes(client) if (routes := self._others(p))]
        best = max(newest, key=lambda route: route.confirmed_at, default=None)
        return best if best is not None and best.confirmed_at > confirmed_at else None

    def _unindex(self, client: Client) -> None:
        for credential in client.credentials:
            self._by_key.pop(credential.public_key, None)
            self._seen.pop(credential.public_key, None)
        for prefix in prefixes(client):
            self._by_prefix.pop(prefix, None)


def _with(owned: Owned, sample: PeerSample, handshake: float | None = None) -> Owned:
    return replace(
        owned,
        key=sample.public_key,
        handshake=sample.latest_handshake if handshake is None else handshake,
        received=sample.received,
        sent=sample.sent,
    )


def _same_session(owned: Owned, client: Client) -> bool:
    keys = {credential.public_key for credential in client.credentials}
    return owned.key in keys and owned.client.addresses == client.addresses
