"""What holds of a node with any kind of WireGuard device.

A test class of the integration suite (wireguard-go) and one of the kernel suite
inherit these tests; each has a fixture `world`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_network

import msgspec
import pytest

from anycastle.agent.apply import apply
from anycastle.agent.diff import change_operations
from anycastle.agent.wireguard.edge import (
    BATCH,
    DeviceMissing,
    Initiate,
    PeerConfig,
    PutPeer,
    Quiet,
    RemovePeer,
    SetDevice,
    clamp,
)
from anycastle.model.addresses import Address, Endpoint
from anycastle.model.codec import Key
from anycastle.model.feed import Change
from tests.support.capture import DATA, INITIATION, Packet, capture
from tests.support.namespaces import run
from tests.support.node import ANYCAST4, ANYCAST6, NOW, SERVICE_KEY, client, clients, key
from tests.support.waiting import wait_for
from tests.support.wireguard import CLIENT_PORT, PRESHARED, SERVICE_PUBLIC_KEY, World

FAR4, FAR6 = IPv4Address("10.65.0.2"), IPv6Address("fd00:65::2")
UNCLAMPED = SERVICE_KEY
AT_ONCE = 2.5
"""Seconds: what WireGuard sends by a timer of its own comes after 5 or later."""


class WireGuardContract:
    """The edge, and the node as a whole over it."""

    def test_settings_and_peers_are_read_as_they_were_set(self, world: World) -> None:
        peers = [
            PeerConfig(
                key(number),
                key(1000 + number) if number % 2 else None,
                (
                    ip_network(f"10.200.{number // 250 + 1}.{number % 250}/32"),
                    ip_network(f"fd00:200::{number:x}:1/128"),
                ),
            )
            for number in range(1, 2 * BATCH + 10)
        ]
        world.edge.ensure()
        world.edge.set([SetDevice(UNCLAMPED, 4500, 77), *map(PutPeer, peers)])
        state = world.edge.read()
        assert state is not None
        assert (state.listen_port, state.fwmark) == (4500, 77)
        assert state.private_key == clamp(UNCLAMPED)
        assert state.peers == {peer.public_key: peer for peer in peers}
        assert len(world.edge.sample()) == len(peers)

    def test_a_part_of_a_peer_can_be_set(self, world: World) -> None:
        old = PeerConfig(key(1), key(2), (ip_network("10.200.0.20/32"),))
        new = PeerConfig(key(1), None, (ip_network("10.200.0.21/32"),))
        world.edge.ensure()
        world.edge.set([PutPeer(old), PutPeer(new, preshared_key=False)])
        assert self._peers(world) == {key(1): msgspec.structs.replace(new, preshared_key=key(2))}
        world.edge.set([PutPeer(new, allowed_ips=False)])
        assert self._peers(world) == {key(1): new}

    def test_a_peer_is_removed_and_a_missing_one_never_made(self, world: World) -> None:
        world.edge.ensure()
        world.edge.set([PutPeer(PeerConfig(key(1)))])
        world.edge.set([RemovePeer(key(1)), RemovePeer(key(2))])
        assert self._peers(world) == {}

    def test_an_address_moves_to_the_peer_that_is_set_last(self, world: World) -> None:
        network = (ip_network("10.200.0.20/32"),)
        world.edge.ensure()
        world.edge.set([PutPeer(PeerConfig(key(number), None, network)) for number in (1, 2)])
        assert self._peers(world) == {
            key(1): PeerConfig(key(1)),
            key(2): PeerConfig(key(2), None, network),
        }

    def test_a_missing_device_is_known_and_made_again(self, world: World) -> None:
        assert world.edge.read() is None
        for call in (world.edge.sample, lambda: world.edge.set([RemovePeer(key(1))])):
            with pytest.raises(DeviceMissing):
                call()
        world.edge.ensure()
        world.edge.ensure()
        assert world.edge.read() is not None
        world.edge.remove()
        assert world.edge.read() is None

    def test_a_node_is_brought_up_and_then_left_alone(self, world: World) -> None:
        result = world.reconcile()
        assert result.failed == ()
        assert world.differs() == ""
        assert world.reconcile().done == ()

    def test_leftovers_go_and_what_others_made_stays(self, world: World) -> None:
        world.reconcile()
        name = world.node.name
        world.node.batch(
            "route add unreachable 203.0.113.0/24 proto 66",
            "route add unreachable 2001:db8:77::/48 proto 66 metric 9",
            "route add unreachable 203.0.113.128/25 proto bird",
            "rule add priority 511 fwmark 5 table 5 protocol 66",
            "rule add priority 512 fwmark 5 table 5",
            "address add 192.0.2.77/32 dev lo",
            f"address add 10.77.0.1/24 dev {world.spec.wireguard.device}",
        )
        assert world.differs().splitlines() == [
            "route unreachable 203.0.113.0/24 table 254 metric 0 remove",
            "route unreachable 2001:db8:77::/48 table 254 metric 9 remove",
            "rule ipv4 511 fwmark 5 table 5 remove",
            f"address 10.77.0.1/24 dev {world.spec.wireguard.device} remove",
        ]
        assert world.reconcile().failed == ()
        assert world.differs() == ""
        assert "203.0.113.128/25" in run(f"ip -n {name} route")
        assert "512:" in run(f"ip -n {name} rule")
        assert "192.0.2.77/32" in run(f"ip -n {name} address show dev lo")

    def test_a_session_is_sampled(self, world: World) -> None:
        world.reconcile()
        sample = world.handshake()
        assert sample.endpoint == Endpoint(FAR4, CLIENT_PORT)
        assert sample.latest_handshake > NOW - 10 * 365 * 86400
        assert sample.received > 148
        assert sample.sent > 92

    def test_the_same_state_and_an_unclamped_key_keep_the_session(self, world: World) -> None:
        world.reconcile()
        before = world.handshake()
        world.edge.set([SetDevice(private_key=UNCLAMPED)])
        (peer,) = world.desired().peers.values()
        world.edge.set([PutPeer(peer)])
        assert world.ping() == 0
        assert world.sample().latest_handshake == before.latest_handshake

    def test_changes_disturb_no_other_client(self, world: World) -> None:
        world.reconcile()
        world.handshake()
        lost: list[int] = []
        pings = threading.Thread(target=lambda: lost.append(world.ping(100, 0.02)))
        pings.start()
        enrolled = clients(world.enrolled)
        for number in range(1, 30):
            new = client(number)
            put = Change(after=1, revision=2, reason="test", put=(new,))
            gone = Change(after=2, revision=3, reason="test", remove=(new.id,))
            for change in (put, gone):
                operations = change_operations({**enrolled, new.id: new}, change, NOW)
                if change is put:
                    operations = change_operations(enrolled, change, NOW)
                assert len(operations) == 1
                assert apply(operations, world.edge, world.network).complete
        world.reconcile(*(client(number) for number in range(1, 100)))
        pings.join()
        assert lost == [0]
        assert world.differs(*(client(number) for number in range(1, 100))) == ""

    def test_a_reset_forgets_the_session_and_keeps_the_configuration(self, world: World) -> None:
        world.reconcile()
        world.handshake()
        (peer,) = world.desired().peers.values()
        world.edge.reset_peer(peer)
        sample = world.sample()
        assert (sample.endpoint, sample.latest_handshake, sample.received) == (None, 0.0, 0)
        assert world.differs() == ""
        assert peer.preshared_key == PRESHARED
        world.connect()
        wait_for("a new session", lambda: world.ping() == 0, 30)

    def test_a_removed_client_is_cut_off(self, world: World) -> None:
        world.reconcile()
        world.handshake()
        change = Change(after=1, revision=2, reason="test", remove=(world.enrolled.id,))
        apply(change_operations(clients(world.enrolled), change, NOW), world.edge, world.network)
        assert world.ping(2) == 2

    def test_a_device_that_was_taken_away_comes_back(self, world: World) -> None:
        world.reconcile()
        world.handshake()
        run(f"ip -n {world.node.name} link delete {world.spec.wireguard.device}")
        assert world.edge.read() is None
        result = world.reconcile()
        assert result.failed == ()
        assert world.differs() == ""
        world.handshake()

    def test_a_marked_packet_would_leave_from_the_anycast_address(self, world: World) -> None:
        world.reconcile()
        mark = world.spec.wireguard.fwmark
        far6 = world.spec.edges[0].remote6
        assert far6 is not None
        assert world.network.source_of(mark, FAR4) == ANYCAST4
        assert world.network.source_of(mark, far6) == ANYCAST6
        assert world.network.source_of(0, FAR4) == IPv4Address("10.65.0.3")
        run(f"ip -n {world.node.name} link set up0 down")
        assert world.network.source_of(mark, FAR4) is None
        assert world.network.source_of(mark, far6) is None

    @pytest.mark.parametrize(
        ("host", "source"), [("10.65.0.2", ANYCAST4), ("[fd00:65::2]", ANYCAST6)]
    )
    def test_an_initiation_leaves_from_the_anycast_address(
        self, world: World, host: str, source: Address
    ) -> None:
        """Fact 1 of the takeover: the client's NAT knows the anycast address only."""
        world.reconcile()
        assert self._initiation_source(world, host) == Endpoint(source, 51820)

    def test_without_the_mark_it_leaves_from_the_uplinks_address(self, world: World) -> None:
        """The check on the check: it is the mark that makes the difference."""
        world.reconcile()
        world.edge.set([SetDevice(fwmark=0)])
        found = self._initiation_source(world, "10.65.0.2")
        assert found == Endpoint(IPv4Address("10.65.0.3"), 51820)

    @pytest.mark.parametrize(("host", "source"), [(FAR4, ANYCAST4), (FAR6, ANYCAST6)])
    def test_an_initiation_leaves_at_once_and_only_one(
        self, world: World, host: Address, source: Address
    ) -> None:
        world.reconcile()
        world.disconnect()
        (peer,) = world.desired().peers.values()
        there = Endpoint(host, CLIENT_PORT)
        with capture(world.far, "up0") as seen:
            world.edge.set([Initiate(peer, there)])
            first = seen.wait("an initiation", _is_initiation, AT_ONCE)
            assert (first.source, first.destination) == (Endpoint(source, 51820), there)
            assert len(first.payload) == 148
            # Nobody answers. A keepalive that was left on would send every second.
            time.sleep(2.2)
            assert seen.packets(out=False) == [first]
        assert world.differs() == "", "no keepalive is left behind"

    def test_an_initiation_of_a_peer_with_keys_leaves_only_anew(self, world: World) -> None:
        world.reconcile()
        before = world.handshake()
        (peer,) = world.desired().peers.values()
        there = Endpoint(FAR4, CLIENT_PORT)
        with capture(world.far, "up0") as seen:
            world.edge.set([Initiate(peer, there)])
            seen.wait("a keepalive under the old keys", _is_from_node(DATA), AT_ONCE)
            assert not seen.packets(INITIATION)
            world.edge.set([Initiate(peer, there, anew=True)])
            seen.wait("an initiation", _is_from_node(INITIATION), AT_ONCE)
        after = wait_for(
            "a session", lambda: s if (s := world.sample()).latest_handshake else None, AT_ONCE
        )
        assert after is not None
        assert after.latest_handshake > before.latest_handshake
        # The client's response counts: for who initiated it is the confirmation.
        assert after.received >= 92
        assert after.endpoint == there
        assert world.ping() == 0
        assert world.differs() == "", "the peer is configured as before"

    def test_an_initiation_makes_no_peer_unless_anew(self, world: World) -> None:
        world.reconcile()
        world.disconnect()
        missing = PeerConfig(key(7), key(8), (ip_network("10.200.0.99/32"),))
        there = Endpoint(FAR4, CLIENT_PORT)
        with capture(world.far, "up0") as seen:
            world.edge.set([Initiate(missing, there), Quiet(key(9))])
            assert set(self._peers(world)) == set(world.desired().peers)
            world.edge.set([Initiate(missing, there, anew=True)])
            seen.wait("an initiation", _is_initiation, AT_ONCE)
            assert len(seen.packets(INITIATION)) == 1
        assert self._peers(world)[key(7)] == missing

    def test_initiations_to_many_leave_in_one_call(self, world: World) -> None:
        world.edge.ensure()
        world.reconcile()
        peers = [PeerConfig(key(number), key(number)) for number in range(100, 200)]
        operations = [
            Initiate(peer, Endpoint(FAR4, 20_000 + number), anew=True)
            for number, peer in enumerate(peers)
        ]
        with capture(world.far, "up0") as seen:
            world.edge.set(operations)
            wanted = {operation.endpoint.port for operation in operations}
            wait_for(
                "all initiations",
                lambda: {packet.destination.port for packet in seen.packets(INITIATION)} == wanted,
                AT_ONCE,
            )

    def test_quiet_stops_keepalives(self, world: World) -> None:
        world.reconcile()
        world.handshake()
        (peer,) = world.desired().peers.values()
        device = world.spec.wireguard.device
        command = f"wg set {device} peer {peer.public_key.text} persistent-keepalive 1"
        world.node.run(command)
        assert self._peers(world)[peer.public_key].keepalive == 1
        assert world.differs() == f"peer quiet {peer.public_key.text}\n"
        with capture(world.far, "up0") as seen:
            seen.wait("a keepalive", _is_from_node(DATA), 5)
            world.edge.set([Quiet(peer.public_key)])
            time.sleep(0.1)
            seen.clear()
            time.sleep(2.5)
            assert not list(filter(_is_from_node(DATA), seen.packets()))
        assert world.differs() == ""

    def _initiation_source(self, world: World, host: str) -> Endpoint:
        """Make the node initiate; where the client saw the packet come from."""
        world.route_to_client()
        world.connect(endpoint=None)
        (credential,) = world.enrolled.credentials
        device = world.spec.wireguard.device
        world.node.run(
            f"wg set {device} peer {credential.public_key.text} endpoint {host}:{CLIENT_PORT}"
        )
        world.node.run("ping -c 1 -W 5 10.200.0.16", check=False)
        text = wait_for("the client's view", lambda: self._seen(world), 15, every=0.05)
        return Endpoint.parse(text)

    @staticmethod
    def _seen(world: World) -> str:
        text = world.far.run(f"wg show {world.far_device} endpoints").split()
        assert text[0] == SERVICE_PUBLIC_KEY.text
        return "" if text[1] == "(none)" else text[1]

    @staticmethod
    def _peers(world: World) -> dict[Key, PeerConfig]:
        state = world.edge.read()
        assert state is not None
        return state.peers


def _is_from_node(kind: int) -> Callable[[Packet], bool]:
    return lambda packet: packet.kind == kind and packet.source.port == 51820


_is_initiation = _is_from_node(INITIATION)
