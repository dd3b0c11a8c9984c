"""A WireGuard client as a state machine without I/O: datagrams and time in, datagrams out.

It follows the protocol of wireguard-go and Linux as far as the other side can see it: both
roles of the handshake, re-keying, confirmation of a responder's key by the first data
packet, and the timers, which are what a client does when its node dies:

    timer        armed by                                  what happens when it fires
    retransmit   an initiation sent                        initiate again, 20 tries at most
    dead_peer    data sent (not keepalives): 15 s          initiate
    passive      data received: 10 s                       send a keepalive
    persistent   anything sent or received: as configured  send a keepalive
    erase        a new key: 540 s                          forget all keys

Anything authentic that comes, a handshake message included, disarms `dead_peer`; anything
authentic that goes disarms `passive`. An initiation goes out at most every 5 s.

Unlike a real client it keeps to one endpoint, and drops an inner packet's padding only as
far as the packet itself says its length.
"""

from __future__ import annotations

import random
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from tests.support import wire
from tests.support.noise import Initiator, NotAuthentic, Responder, Static
from tests.support.wire import Indices, Keypair, Macs

REKEY_TIMEOUT = 5.0
KEEPALIVE_TIMEOUT = 10.0
REKEY_AFTER = 120.0
REJECT_AFTER = 180.0
JITTER = 0.334
TRIES = 18
STAGED = 128
FLOOD = 0.02
"""Seconds between two initiations that a peer listens to."""
TIMERS = ("retransmit", "dead_peer", "passive", "persistent", "erase")


@dataclass(frozen=True)
class Identity:
    """private: of the client. preshared: zeros where there is none. service: public key."""

    private: bytes
    preshared: bytes
    service: bytes


@dataclass
class Counters:
    """What a client has seen. handshakes: finished ones, in either role."""

    initiations: int = 0
    responses: int = 0
    consumed: int = 0
    handshakes: int = 0
    cookies: int = 0
    refused: int = 0


class SimulatedClient:
    """One peer of one service. deliver: what is told the inner packets that come.

    Every method that takes `now` (monotonic seconds) returns the datagrams to send.
    """

    def __init__(
        self,
        identity: Identity,
        deliver: Callable[[bytes, float], None],
        wall: Callable[[], float],
        keepalive: float = 0.0,
    ) -> None:
        self.counters = Counters()
        self.keepalive = keepalive
        self._own = Static.of(identity.private)
        self._identity = identity
        self._deliver = deliver
        self._wall = wall
        self._macs = Macs(identity.service)
        self._own_macs = Macs(self._own.public)
        self._pending: tuple[Initiator, int] | None = None
        self._current: Keypair | None = None
        self._previous: Keypair | None = None
        self._next: Keypair | None = None
        self._staged: deque[bytes] = deque(maxlen=STAGED)
        self._timers: dict[str, float] = {}
        self._tries = 0
        self._another = self._last_minute = False
        self._said = self._heard = float("-inf")
        self._timestamp = b""

    @property
    def connected(self) -> bool:
        return self._current is not None

    @property
    def index(self) -> int | None:
        """The node's index of the present session: what its data packets carry."""
        return self._current.indices.theirs if self._current else None

    # what its user does ----------------------------------------------------

    def send(self, packet: bytes, now: float) -> list[bytes]:
        """An inner packet; kept for later while there is no session."""
        self._staged.append(packet)
        return self._flush(now)

    def tick(self, now: float) -> list[bytes]:
        """Whatever is due."""
        due = [name for name in TIMERS if self._timers.get(name, now + 1) <= now]
        sent: list[bytes] = []
        for name in due:
            if self._timers.pop(name, None) is not None:
                sent += self._fire(name, now)
        return sent

    def next_tick(self) -> float:
        """Monotonic seconds; infinite without a timer."""
        return min(self._timers.values(), default=float("inf"))

    def datagram(self, data: bytes, now: float) -> list[bytes]:
        """One that came from the endpoint. Nothing to see in what is not authentic."""
        try:
            match wire.kind(data):
                case wire.INITIATION:
                    return self._consume(data, now)
                case wire.RESPONSE:
                    return self._finish(data, now)
                case wire.COOKIE:
                    return self._cookie(data, now)
                case wire.DATA:
                    return self._receive(data, now)
        except NotAuthentic:
            pass
        self.counters.refused += 1
        return []

    # timers ----------------------------------------------------------------

    def _arm(self, name: str, at: float) -> None:
        self._timers[name] = at

    def _disarm(self, *names: str) -> None:
        for name in names:
            self._timers.pop(name, None)

    def _fire(self, name: str, now: float) -> list[bytes]:
        match name:
            case "retransmit" if self._tries > TRIES:
                self._staged.clear()
                self._disarm("passive")
                self._timers.setdefault("erase", now + 3 * REJECT_AFTER)
                return []
            case "retransmit":
                self._tries += 1
                return self._initiate(now)
            case "dead_peer":
                self._tries = 0
                return self._initiate(now)
            case "erase":
                self._current = self._previous = self._next = self._pending = None
                return []
        sent = self._keepalive(now)
        if name == "passive" and self._another:
            self._another = False
            self._arm("passive", now + KEEPALIVE_TIMEOUT)
        return sent

    def _traversed(self, now: float) -> None:
        if self.keepalive:
            self._arm("persistent", now + self.keepalive)

    def _authentic_received(self, now: float) -> None:
        self._disarm("dead_peer")
        self._traversed(now)

    def _authentic_sent(self, now: float) -> None:
        self._disarm("passive")
        self._traversed(now)

    # handshakes ------------------------------------------------------------

    def _initiate(self, now: float) -> list[bytes]:
        if now - self._said < REKEY_TIMEOUT:
            return []
        self._said = now
        self.counters.initiations += 1
        handshake = Initiator(
            self._own, self._identity.service, self._identity.preshared, wire.IDENTIFIER
        )
        index = secrets.randbits(32)
        self._pending = handshake, index
        body = handshake.message(wire.timestamp(self._wall()))
        self._authentic_sent(now)
        self._arm("retransmit", now + REKEY_TIMEOUT + random.uniform(0, JITTER))  # noqa: S311
        return [self._macs.sealed(wire.initiation(index, body), now)]

    def _finish(self, data: bytes, now: float) -> list[bytes]:
        """A response to our initiation: the session is ours to confirm, at once."""
        if self._pending is None or wire.receiver(data) != self._pending[1]:
            raise NotAuthentic
        if not self._own_macs.proves(data):
            raise NotAuthentic
        keys, _ = self._pending[0].finish(wire.handshake(data))
        pair = Keypair(keys, Indices(self._pending[1], wire.sender(data)), True, now)
        self._pending = None
        self._previous, self._current, self._next = self._next or self._current, pair, None
        self._authentic_received(now)
        self._derived(now)
        self._completed()
        return self._keepalive(now)

    def _consume(self, data: bytes, now: float) -> list[bytes]:
        """An initiation of the node: answered, unless replayed or too soon."""
        if not self._own_macs.proves(data):
            raise NotAuthentic
        handshake = Responder(self._own, wire.IDENTIFIER, wire.handshake(data))
        fresh = handshake.payload > self._timestamp and now - self._heard >= FLOOD
        if handshake.initiator != self._identity.service or not fresh:
            raise NotAuthentic
        self._timestamp, self._heard = handshake.payload, now
        self.counters.consumed += 1
        self._authentic_received(now)
        return self._respond(handshake, wire.sender(data), now)

    def _respond(self, handshake: Responder, theirs: int, now: float) -> list[bytes]:
        body, keys = handshake.message(self._identity.preshared)
        index = secrets.randbits(32)
        self._pending = None
        self._next = Keypair(keys, Indices(index, theirs), False, now)
        self._previous = None
        self._said = now
        self.counters.responses += 1
        self._derived(now)
        self._authentic_sent(now)
        return [self._macs.sealed(wire.response(index, theirs, body), now)]

    def _cookie(self, data: bytes, now: float) -> list[bytes]:
        """The node is under load. Nothing is sent: the next initiation has the cookie."""
        self.counters.cookies += 1
        self._macs.take_cookie(data, now)
        return []

    def _derived(self, now: float) -> None:
        self._arm("erase", now + 3 * REJECT_AFTER)

    def _completed(self) -> None:
        self._disarm("retransmit")
        self._tries = 0
        self._last_minute = False
        self.counters.handshakes += 1

    # data ------------------------------------------------------------------

    def _flush(self, now: float) -> list[bytes]:
        """Everything staged, under the present key; an initiation where there is none."""
        if not self._staged:
            return []
        pair = self._current
        if pair is None or now - pair.born >= REJECT_AFTER:
            return self._first_try(now)
        sent = []
        while self._staged:
            packet = self._staged.popleft()
            sent.append(pair.seal(packet))
            self._authentic_sent(now)
            if packet and "dead_peer" not in self._timers:
                patience = KEEPALIVE_TIMEOUT + REKEY_TIMEOUT
                self._arm("dead_peer", now + patience + random.uniform(0, JITTER))  # noqa: S311
        if pair.initiator and now - pair.born >= REKEY_AFTER:
            sent += self._first_try(now)
        return sent

    def _first_try(self, now: float) -> list[bytes]:
        sent = self._initiate(now)
        if sent:
            self._tries = 0
        return sent

    def _keepalive(self, now: float) -> list[bytes]:
        if not self._staged:
            self._staged.append(b"")
        return self._flush(now)

    def _receive(self, data: bytes, now: float) -> list[bytes]:
        index = wire.receiver(data)
        for pair in (self._current, self._next, self._previous):
            if pair is not None and pair.indices.own == index:
                break
        else:
            raise NotAuthentic
        if now - pair.born >= REJECT_AFTER:
            raise NotAuthentic
        packet = pair.open(data)
        self._authentic_received(now)
        sent = self._promote(now) if pair is self._next else []
        sent += self._rekey_late(pair, now)
        if packet:
            self._data_received(now)
            self._deliver(packet, now)
        return sent

    def _promote(self, now: float) -> list[bytes]:
        """First data under the key of a handshake that we answered: it is confirmed."""
        self._previous, self._current, self._next = self._current, self._next, None
        self._completed()
        return self._flush(now)

    def _rekey_late(self, pair: Keypair, now: float) -> list[bytes]:
        """An initiator that only receives renews its key shortly before it ends."""
        limit = REJECT_AFTER - KEEPALIVE_TIMEOUT - REKEY_TIMEOUT
        if self._last_minute or not pair.initiator or now - pair.born < limit:
            return []
        self._last_minute = True
        return self._first_try(now)

    def _data_received(self, now: float) -> None:
        if "passive" in self._timers:
            self._another = True
        else:
            self._arm("passive", now + KEEPALIVE_TIMEOUT)
