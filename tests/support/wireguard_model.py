"""WireGuard without cryptography: the rules of its state machines that takeovers depend on.

Sources: WireGuard's paper (section 6) and Linux' drivers/net/wireguard (noise.c, timers.c,
receive.c). Both ends of a session hold the same `Keys`; a message is what an observer sees
plus what only the key's holders could have made.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from anycastle.agent.takeover.clock import GRAIN
from anycastle.agent.wireguard.edge import PeerSample
from anycastle.model.addresses import Endpoint
from anycastle.model.codec import Key

REKEY_AFTER, REJECT_AFTER, REKEY_TIMEOUT, DEAD_PEER = 120.0, 180.0, 5.0, 15.0
JITTER = 0.1
"""Seconds that WireGuard's repetition of an initiation comes after REKEY_TIMEOUT."""
TRIES = 18

_indices = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Initiation:
    """Type 1. key: of the client, whoever sends it. stamp: TAI64N."""

    key: Key
    sender: int
    stamp: float


@dataclass(frozen=True, slots=True, eq=False)
class Keys:
    """What a handshake makes. by_node: who initiated. born: monotonic."""

    node_index: int
    client_index: int
    by_node: bool
    born: float


@dataclass(frozen=True, slots=True)
class Response:
    """Type 2."""

    receiver: int
    keys: Keys


@dataclass(frozen=True, slots=True)
class Data:
    """Type 4. keys: None for a forged one. size: 32 is a keepalive."""

    receiver: int
    keys: Keys | None
    size: int


Message = Initiation | Response | Data
Send = Callable[[Endpoint, Message], None]


def stamp(wall: float) -> float:
    """TAI64N as WireGuard rounds it."""
    return wall // GRAIN * GRAIN


@dataclass(slots=True)
class Pending:
    """An initiation without an answer. tries: how often it was sent."""

    index: int
    at: float
    tries: int = 1
    valid: bool = True


@dataclass(slots=True)
class Peer:
    """A client as a node's WireGuard sees it."""

    key: Key
    endpoint: Endpoint | None = None
    previous: Keys | None = None
    current: Keys | None = None
    next: Keys | None = None
    pending: Pending | None = None
    stamp: float = 0.0
    handshake: float = 0.0
    received: int = 0
    sent: int = 0


@dataclass
class NodeWireGuard:
    """A node's device. send: puts a message on the wire. initiated: how often it began."""

    send: Send
    peers: dict[Key, Peer] = field(default_factory=dict)
    initiated: int = 0

    def initiate(self, key: Key, endpoint: Endpoint, now: float, wall: float, anew: bool) -> None:
        """A keepalive that is switched on: an initiation, unless there are keys."""
        if anew:
            self.peers[key] = Peer(key)
        peer = self.peers[key]
        peer.endpoint = endpoint
        if peer.current and now - peer.current.born < REJECT_AFTER:
            self._data(peer, 32)
        else:
            self._initiate(peer, now, wall)

    def reset(self, key: Key) -> None:
        self.peers[key] = Peer(key)

    def tick(self, now: float, wall: float) -> None:
        """Repeat what was not answered."""
        for peer in self.peers.values():
            pending = peer.pending
            if pending and now - pending.at >= REKEY_TIMEOUT + JITTER and pending.tries < TRIES:
                self._initiate(peer, now, wall)

    def sample(self) -> list[PeerSample]:
        return [
            PeerSample(peer.key, peer.endpoint, peer.handshake, peer.received, peer.sent)
            for peer in self.peers.values()
        ]

    def receive(self, message: Message, source: Endpoint, now: float, wall: float) -> bool:
        """Was it for somebody here?"""
        if isinstance(message, Initiation):
            return self._consume_initiation(message, source, now)
        if isinstance(message, Response):
            return self._consume_response(message, source, wall)
        return self._consume_data(message, source, now, wall)

    def _consume_initiation(self, message: Initiation, source: Endpoint, now: float) -> bool:
        peer = self.peers.get(message.key)
        if peer is None or message.stamp <= peer.stamp:
            return False
        peer.stamp, peer.endpoint = message.stamp, source
        peer.received += 148
        if peer.pending:
            peer.pending.valid = False
        peer.next = Keys(next(_indices), message.sender, by_node=False, born=now)
        self.send(source, Response(message.sender, peer.next))
        return True

    def _consume_response(self, message: Response, source: Endpoint, wall: float) -> bool:
        for peer in self.peers.values():
            pending = peer.pending
            if pending and pending.valid and pending.index == message.receiver:
                peer.previous, peer.current, peer.next = peer.current, message.keys, None
                peer.pending, peer.endpoint, peer.handshake = None, source, wall
                peer.received += 92
                self._data(peer, 32)
                return True
        return False

    def _consume_data(self, message: Data, source: Endpoint, now: float, wall: float) -> bool:
        if message.keys is None or now - message.keys.born > REJECT_AFTER:
            return False
        for peer in self.peers.values():
            if message.keys not in (peer.previous, peer.current, peer.next):
                continue
            if message.keys is peer.next:
                peer.previous, peer.current, peer.next = peer.current, peer.next, None
                peer.pending, peer.handshake = None, wall
            peer.endpoint = source
            peer.received += message.size
            if message.size > 32:
                self._answer(peer, now, wall)
            return True
        return False

    def _answer(self, peer: Peer, now: float, wall: float) -> None:
        """The network behind the node answers the client."""
        self._data(peer, 128)
        if peer.current and peer.current.by_node and now - peer.current.born > REKEY_AFTER:
            self._initiate(peer, now, wall)

    def _initiate(self, peer: Peer, now: float, wall: float) -> None:
        pending = peer.pending
        if peer.endpoint is None or (pending and now - pending.at < REKEY_TIMEOUT):
            return
        self.initiated += 1
        tries = pending.tries + 1 if pending else 1
        peer.pending = Pending(next(_indices), now, tries)
        self.send(peer.endpoint, Initiation(peer.key, peer.pending.index, stamp(wall)))

    def _data(self, peer: Peer, size: int) -> None:
        if peer.current and peer.endpoint:
            peer.sent += size
            self.send(peer.endpoint, Data(peer.current.client_index, peer.current, size))


@dataclass
class Device:
    """A stock client. send: to the anycast address. heard_at: last data from the service.

    It has no idea of nodes: there is one peer, behind one address.
    """

    key: Key
    send: Callable[[Message], None]
    heard_at: float = 0.0
    stamp: float = 0.0
    previous: Keys | None = None
    current: Keys | None = None
    next: Keys | None = None
    pending: Pending | None = None
    waiting_since: float | None = None

    def talk(self, size: int, now: float, wall: float) -> None:
        """Send something (32: a keepalive); without keys, begin a handshake."""
        keys = self.current
        if keys is None or now - keys.born > REJECT_AFTER:
            self._initiate(now, wall)
            return
        self.send(Data(keys.node_index, keys, size))
        if size > 32 and self.waiting_since is None:
            self.waiting_since = now
        if not keys.by_node and now - keys.born > REKEY_AFTER:
            self._initiate(now, wall)

    def tick(self, now: float, wall: float) -> None:
        if self.waiting_since is not None and now - self.waiting_since >= DEAD_PEER:
            self.waiting_since = None
            self._initiate(now, wall)
        pending = self.pending
        if pending and now - pending.at >= REKEY_TIMEOUT + JITTER and pending.tries < TRIES:
            self._initiate(now, wall)

    def receive(self, message: Message, now: float) -> None:
        if isinstance(message, Initiation):
            self._consume_initiation(message, now)
        elif isinstance(message, Response):
            self._consume_response(message, now)
        elif message.keys is not None:
            self._consume_data(message.keys, now)

    def _consume_initiation(self, message: Initiation, now: float) -> None:
        if message.key != self.key or message.stamp <= self.stamp:
            return
        self.stamp = message.stamp
        self.waiting_since = None
        if self.pending:
            self.pending.valid = False
        self.next = Keys(message.sender, next(_indices), by_node=True, born=now)
        self.send(Response(message.sender, self.next))

    def _consume_response(self, message: Response, now: float) -> None:
        if self.pending and self.pending.valid and self.pending.index == message.receiver:
            self.pending, self.waiting_since = None, None
            self.previous, self.current, self.next = self.current, message.keys, None
            self.heard_at = now
            self.send(Data(message.keys.node_index, message.keys, 32))

    def _consume_data(self, keys: Keys, now: float) -> None:
        if keys is self.next:
            self.previous, self.current, self.next = self.current, self.next, None
            self.pending = None
        if keys in self._known():
            self.waiting_since, self.heard_at = None, now

    def _known(self) -> Iterator[Keys | None]:
        yield from (self.current, self.previous)

    def _initiate(self, now: float, wall: float) -> None:
        if self.pending and now - self.pending.at < REKEY_TIMEOUT:
            return
        tries = self.pending.tries + 1 if self.pending else 1
        self.pending = Pending(next(_indices), now, tries)
        self.send(Initiation(self.key, self.pending.index, stamp(wall)))
