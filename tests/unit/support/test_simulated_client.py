"""Simulated clients talk to each other over a perfect wire and an invented clock.

Two of them that know each other's key are a client and its node: the protocol is the same
on both sides.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from tests.support import wire
from tests.support.noise import Static
from tests.support.simulated_client import Identity, SimulatedClient

PSK = bytes(range(32))
CLIENT, NODE = bytes([7] * 32), bytes([9] * 32)
PACKET = b"an inner packet, padded."


@dataclass
class World:
    """now: monotonic seconds. up, down: may packets pass? wire: everything that was sent."""

    keepalive: float = 0.0
    now: float = 1000.0
    up: bool = True
    down: bool = True
    got: dict[str, list[bytes]] = field(default_factory=lambda: {"client": [], "node": []})
    sent: list[tuple[float, str, int]] = field(default_factory=list)
    client: SimulatedClient = field(init=False)
    node: SimulatedClient = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.side("client", CLIENT, NODE, self.keepalive)
        self.node = self.side("node", NODE, CLIENT)

    def side(self, name: str, own: bytes, other: bytes, keepalive: float = 0.0) -> SimulatedClient:
        identity = Identity(own, PSK, Static.of(other).public)
        deliver: Callable[[bytes, float], None] = lambda packet, _: self.got[name].append(packet)  # noqa: E731
        return SimulatedClient(identity, deliver, lambda: 1.7e9 + self.now, keepalive)

    def carry(self, sender: str, datagrams: list[bytes]) -> None:
        """Deliver them and whatever they cause."""
        for each in datagrams:
            self.sent.append((self.now, sender, wire.kind(each)))
            if sender == "client" and self.up:
                self.carry("node", self.node.datagram(each, self.now))
            elif sender == "node" and self.down:
                self.carry("client", self.client.datagram(each, self.now))

    def talk(self, sender: str = "client") -> None:
        self.carry(sender, getattr(self, sender).send(PACKET, self.now))

    def run(self, seconds: float, talking: str = "", step: float = 0.25) -> None:
        """Time passes; `talking` sends a packet each second."""
        for number in range(round(seconds / step)):
            self.now += step
            for name in ("client", "node"):
                self.carry(name, getattr(self, name).tick(self.now))
            if talking and number % round(1 / step) == 0:
                self.talk(talking)

    def kinds(self, sender: str, since: float = 0.0) -> list[int]:
        return [kind for at, who, kind in self.sent if who == sender and at >= since]

    def new_node(self) -> None:
        """Another node with the same key, and without a session."""
        self.node = self.side("node", NODE, CLIENT)


def test_a_session_begins_with_the_first_packet() -> None:
    world = World()
    world.talk()
    assert world.kinds("client") == [wire.INITIATION, wire.DATA]
    assert world.kinds("node") == [wire.RESPONSE]
    assert [packet.rstrip(b"\0") for packet in world.got["node"]] == [PACKET]
    world.talk("node")
    assert len(world.got["client"]) == 1
    assert (world.client.counters.handshakes, world.node.counters.handshakes) == (1, 1)


def test_a_node_may_begin_it_and_uses_the_key_when_the_client_answered() -> None:
    """Takeover, as the client sees it."""
    world = World()
    world.talk()
    world.new_node()
    world.now += 6
    world.talk()
    assert len(world.got["node"]) == 1, "nobody knows the old key"
    world.talk("node")
    assert world.got["client"][-1].rstrip(b"\0") == PACKET
    world.talk()
    assert len(world.got["node"]) == 2
    assert world.client.counters.consumed == 1
    assert world.client.counters.initiations == 1


def test_an_initiation_is_answered_once_and_never_again() -> None:
    world = World()
    [initiation] = world.node.send(PACKET, world.now)
    assert len(world.client.datagram(initiation, world.now)) == 1
    for later in (0.0, 1.0, 100.0):
        assert world.client.datagram(initiation, world.now + later) == []
    assert world.client.counters.responses == 1


def test_a_dead_node_is_noticed_after_fifteen_seconds() -> None:
    world = World()
    world.talk()
    world.run(10, "client")
    world.talk("node")
    died = world.now
    world.up = world.down = False
    world.run(25, "client")
    tries = [at - died for at, who, kind in world.sent
             if who == "client" and kind == wire.INITIATION and at > died]  # fmt: skip
    assert 15 <= tries[0] <= 17
    assert all(4.9 < later - before < 6 for before, later in itertools.pairwise(tries))


def test_only_data_arms_that_timer() -> None:
    world = World(keepalive=25.0)
    world.talk()
    world.talk("node")
    world.run(1)
    world.up = world.down = False
    died = world.now
    world.run(100)
    assert wire.INITIATION not in world.kinds("client", died)
    assert world.kinds("client", died).count(wire.DATA) >= 3


def test_anything_authentic_disarms_it_an_initiation_too() -> None:
    """Fact: a node that initiates and hears nothing keeps a client from noticing."""
    world = World()
    world.talk()
    world.up = False
    world.new_node()
    died = world.now
    for _ in range(10):
        world.run(6, "client")
        world.carry("node", world.side("node", NODE, CLIENT).send(PACKET, world.now))
    assert wire.INITIATION not in world.kinds("client", died + 0.1)


def test_what_only_arrives_is_acknowledged_by_a_passive_keepalive() -> None:
    world = World()
    world.talk()
    world.run(1)
    world.talk("node")
    heard = world.now
    world.run(12)
    answers = [at - heard for at, who, kind in world.sent if who == "client" and at > heard]
    assert len(answers) == 1
    assert 9.9 <= answers[0] <= 10.3


def test_the_initiator_renews_its_key_after_two_minutes() -> None:
    world = World()
    world.talk()
    world.run(300, "client", step=0.5)
    assert world.client.counters.initiations == 3
    assert world.node.counters.initiations == 0
    assert len(world.got["node"]) == 301


def test_keys_end_after_three_minutes() -> None:
    world = World()
    world.talk()
    world.now += 200
    world.talk()
    assert world.client.counters.handshakes == 2
    world.run(600)
    assert not world.client.connected


def test_it_gives_up_after_twenty_tries() -> None:
    world = World(up=False)
    world.talk()
    world.run(200)
    assert world.client.counters.initiations == 20


def test_a_cookie_is_counted_and_used() -> None:
    world = World()
    [initiation] = world.client.send(PACKET, world.now)
    cookie, nonce = bytes(range(16)), bytes(24)
    reply = cookie_reply(initiation, nonce, cookie)
    assert world.client.datagram(reply, world.now) == []
    assert world.client.counters.cookies == 1
    world.now += 5.5
    [again] = world.client.tick(world.now)
    assert again[-16:] == wire.mac(cookie, again[:-16])
    assert world.client.datagram(reply[:-1] + b"\0", world.now) == []


def cookie_reply(message: bytes, nonce: bytes, cookie: bytes) -> bytes:
    """As a node under load makes it (xchacha by way of its subkey)."""
    from hashlib import blake2s

    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    key = blake2s(b"cookie--" + Static.of(NODE).public).digest()
    cipher = ChaCha20Poly1305(wire.hchacha20(key, nonce[:16]))
    sealed = cipher.encrypt(bytes(4) + nonce[16:], cookie, message[-32:-16])
    return bytes((wire.COOKIE, 0, 0, 0)) + message[4:8] + nonce + sealed


@pytest.mark.parametrize("size", [0, 32, 64, 92, 148, 1000])
def test_junk_causes_nothing(size: int) -> None:
    world = World()
    world.talk()
    for first in range(5):
        junk = bytes((first, 0, 0, 0)) + bytes(range(256)) * 4
        assert world.client.datagram(junk[:size], world.now) == []
    world.talk()
    assert len(world.got["node"]) == 2
