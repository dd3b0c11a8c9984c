"""The BPF packet path with real packets over real devices. Needs root, clang, libbpf."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from functools import partial
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from anycastle.agent.takeover.bpf import build
from anycastle.agent.takeover.path import EventKind, PacketPath, PathError
from anycastle.model.addresses import Endpoint
from tests.support.bpf_paths import CLIENTS, MakeBpfPath
from tests.support.namespaces import namespaces
from tests.support.node import ANYCAST4, node_spec
from tests.support.packet_path_contract import PacketPathContract, RelayTableContract
from tests.support.path_world import (
    FABRIC,
    LOOPBACKS,
    PORT,
    PathWorld,
    client,
    data,
    initiation,
    response,
)
from tests.support.waiting import wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

ONE, TWO = LOOPBACKS
BOTH = pytest.mark.parametrize("version", [4, 6])
DROP = """
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
SEC("tc") int drop(struct __sk_buff *skb) { return skb->len ? 2 : 0; }
"""
IP_OPTIONS = b"\x94\x04\x00\x00"  # router alert, RFC 2113


@pytest.fixture
def lone_path(make_bpf_path: MakeBpfPath) -> Iterator[PacketPath]:
    """A path on devices that lead nowhere."""
    with namespaces("table") as (space,), space.entered():
        space.batch(
            "link add up0 type veth peer up1", f"link add {FABRIC.device} type veth peer far0"
        )
        path = make_bpf_path(node_spec())
        path.ensure(["up0"], FABRIC.device)
        yield path
        path.remove()


class TestBpfRelayTable(RelayTableContract):
    @pytest.fixture
    def path(self, lone_path: PacketPath) -> PacketPath:
        return lone_path

    def test_a_full_table_says_so(self, path: PacketPath) -> None:
        many = {Endpoint(IPv4Address(number), 1): TWO for number in range(1, 2 * CLIENTS + 2)}
        with pytest.raises(PathError, match=rf"clients is full: {2 * CLIENTS} endpoints"):
            path.put_relays(many)
        assert len(path.relays()) == 2 * CLIENTS

    def test_no_relay_to_oneself(self, path: PacketPath) -> None:
        with pytest.raises(PathError, match="this node"):
            path.put_relays({client(1): ONE, client(2): TWO})
        assert path.relays() == {}


class TestBpfPackets(PacketPathContract):
    @pytest.fixture
    def world(self, bpf_world: PathWorld) -> PathWorld:
        return bpf_world

    @BOTH
    def test_a_fragmented_packet_follows_its_first_fragment(
        self, world: PathWorld, version: int
    ) -> None:
        world.two.send(response(7, 99), client(1, version))
        world.one.path.put_relays({client(1, version): TWO})
        for counter in range(5):
            world.send(data(7, 4000, counter), client(1, version))
        received = world.two.receive(5)
        # The stand-in for WireGuard reads 2,048 bytes at most; that it came is the point.
        assert [payload for _, payload in received] == [data(7, 4000, n)[:2048] for n in range(5)]
        assert world.one.received() == []
        assert world.one.path.counters().relayed == 5

    def test_fragments_of_an_own_packet_stay(self, world: PathWorld) -> None:
        world.one.send(response(7, 99), client(1))
        world.send(data(7, 4000), client(1))
        assert world.one.receive()[0][0] == client(1)

    def test_ip_options_are_stepped_over(self, world: PathWorld) -> None:
        world.two.send(response(7, 99), client(1))
        world.one.path.put_relays({client(1): TWO})
        with world.far.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, IP_OPTIONS)
            sender.bind((str(client(1).address), client(1).port))
            sender.sendto(data(7), (str(ANYCAST4), PORT))
        assert world.two.receive() == [(client(1), data(7))]

    @BOTH
    def test_a_strict_reverse_path_filter_lets_relayed_packets_in(
        self, world: PathWorld, version: int
    ) -> None:
        for name in ("all", "default", "up0", "fabric0"):
            world.two.space.run(f"sysctl -qw net.ipv4.conf.{name}.rp_filter=1")
        world.two.send(response(7, 99), client(1, version))
        world.one.path.put_relays({client(1, version): TWO})
        world.send(data(7), client(1, version))
        assert world.two.receive() == [(client(1, version), data(7))]

    def test_messages_of_wrong_length_or_sender_teach_nothing(self, world: PathWorld) -> None:
        world.one.path.put_relays({client(1): None})
        for index, junk in ((7, initiation(7) + b"x"), (8, response(8, 1)[:-1])):
            world.one.send(junk, client(1))
            world.send(data(index), client(1))
        with world.one.space.entered():
            elsewhere = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with elsewhere:
            elsewhere.bind(("10.65.0.3", PORT))  # a client of ours that speaks through a NAT
            elsewhere.sendto(response(9, 1), (str(client(1).address), client(1).port))
        world.send(data(9), client(1))
        world.one.receive(3)
        assert world.one.path.counters().own == 0
        assert world.one.path.counters().foreign == 3

    def test_an_initiation_sent_again_replaces_the_one_before(self, world: PathWorld) -> None:
        """Nobody can answer the first one any more, so its index is nobody's."""
        world.one.path.put_relays({client(1): None})
        world.one.send(response(5, 99), client(1))
        for index in range(10, 30):
            world.one.send(initiation(index), client(1))
        for index in (5, 10, 28, 29):
            world.send(data(index), client(1))
        world.one.receive(4)
        assert world.one.path.counters().own == 2  # 5 and 29
        world.one.path.forget([client(1)])
        world.send(data(5), client(1))
        world.send(data(29), client(1))
        world.one.receive(2)
        assert world.one.path.counters().own == 2

    def test_a_flood_from_known_endpoints_is_cut_to_two_thousand_a_second(
        self, world: PathWorld
    ) -> None:
        crowd = [Endpoint(client(1).address, port) for port in range(1000, 4500)]
        world.one.path.put_relays(dict.fromkeys(crowd, None))
        for sent in range(0, len(crowd), 500):
            with world.far.entered():
                for endpoint in crowd[sent : sent + 500]:
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                        sender.bind((str(endpoint.address), endpoint.port))
                        sender.sendto(data(7), (str(ANYCAST4), PORT))
            # The kernel's queue behind a veth takes 1,000, and drops the rest.
            wait_for("their arrival", partial(world.one.met_foreign, sent + 500), 10, every=0.01)
        events = world.one.path.drain()
        seconds = events[-1].at - events[0].at
        counters = world.one.path.counters()
        # Ten more: an event and the bucket that it is taken from read the clock one after another.
        assert 500 <= len(events) <= 510 + 2000 * seconds
        assert counters.reported == len(events)
        assert counters.reported + counters.suppressed == counters.foreign == len(crowd)
        assert counters.lost == 0

    def test_handing_over_a_vanished_owner_is_reported_at_once(self, world: PathWorld) -> None:
        """The second between two events of an endpoint does not span a change of its owner."""
        world.one.path.put_relays({client(1): TWO})
        world.send(data(7), client(1))
        assert len(world.one.events()) == 1
        world.one.path.put_relays({client(1): None})
        world.send(data(7), client(1))
        assert [event.kind for event in world.one.events()] == [EventKind.FOREIGN]

    def test_relaying_waits_for_trust_when_handshakes_may_have_been_missed(
        self, world: PathWorld
    ) -> None:
        world.two.send(response(7, 99), client(1))
        world.one.path.put_relays({client(1): TWO})
        world.replug()
        assert world.one.ensure()
        world.send(data(7), client(1))
        assert world.one.receive() == [(client(1), data(7))]
        assert not world.one.ensure()
        world.one.path.trust(True)
        world.send(data(7), client(1))
        assert world.two.receive() == [(client(1), data(7))]

    def test_relayed_packets_re_enter_where_there_is_a_carrier(self, world: PathWorld) -> None:
        """Strict filtering shows by which device they came in."""
        two = world.two
        two.space.batch("link add down0 type veth peer nobody0", "link set down0 up")
        for name in ("all", "default", "up0", "fabric0"):
            two.space.run(f"sysctl -qw net.ipv4.conf.{name}.rp_filter=1")
        assert two.path.ensure(["down0", "up0"], FABRIC.device)
        two.path.trust(True)
        two.send(response(7, 99), client(1))
        world.one.path.put_relays({client(1): TWO})
        world.send(data(7), client(1))
        assert two.receive() == [(client(1), data(7))]

    def test_devices_that_are_no_uplinks_any_more_are_let_go(self, world: PathWorld) -> None:
        one = world.one
        one.space.batch("link add spare0 type veth peer spare1")
        assert one.path.ensure(["up0", "spare0"], FABRIC.device)
        assert "takeover" in one.space.run("tc filter show dev spare0 ingress")
        assert one.ensure()
        assert "takeover" not in one.space.run("tc filter show dev spare0 ingress")
        assert "takeover" in one.space.run("tc filter show dev up0 egress")

    def test_other_peoples_filters_run_after_ours(self, world: PathWorld, tmp_path: Path) -> None:
        source = tmp_path / "drop.bpf.c"
        source.write_text(DROP)
        build.compile_program(tmp_path / "drop.o", source)
        add = f"tc filter add dev up0 ingress prio 60 bpf da obj {tmp_path}/drop.o sec tc"
        world.send(data(7), client(1))
        assert len(world.one.receive()) == 1
        world.one.space.run(add)
        world.send(data(7), client(1))
        world.settle()
        assert world.one.received() == []
        assert world.one.path.counters().unknown == 2
        world.one.path.remove()
        assert "drop" in world.one.space.run("tc filter show dev up0 ingress")
