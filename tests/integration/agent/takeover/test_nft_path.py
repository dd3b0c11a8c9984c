"""The nftables packet path in network namespaces. Needs root."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from ipaddress import IPv4Address

import pytest

from anycastle.agent.takeover.choose import Candidate, choose
from anycastle.agent.takeover.nft.path import NftPath, ruleset_of
from anycastle.agent.takeover.path import EventKind, PacketPath, PathError
from anycastle.model.addresses import Endpoint
from tests.support.node import node_spec
from tests.support.packet_path_contract import PacketPathContract, RelayTableContract
from tests.support.path_world import (
    FABRIC,
    LOOPBACKS,
    PathWorld,
    client,
    data,
    path_world,
    response,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

ONE, TWO = LOOPBACKS


@pytest.fixture
def world() -> Iterator[PathWorld]:
    with path_world(NftPath.for_node) as made:
        yield made


@pytest.fixture
def path(world: PathWorld) -> PacketPath:
    return world.one.path


class TestNftRelayTable(RelayTableContract):
    def test_no_relay_to_oneself(self, path: PacketPath) -> None:
        with pytest.raises(PathError, match="this node"):
            path.put_relays({client(1): ONE})

    def test_a_hundred_thousand(self, path: PacketPath) -> None:
        many = {
            Endpoint(IPv4Address(0x0B000000 + number), 1000 + number % 7): TWO
            for number in range(100_000)
        }
        path.put_relays(many)
        assert len(path.relays()) == 100_000
        path.put_relays({client(1): TWO})
        path.remove_relays(many)
        assert path.relays() == {client(1): TWO}


class TestNftPackets(PacketPathContract):
    def test_another_version_keeps_what_was_learnt(self, world: PathWorld) -> None:
        """The rules are replaced under traffic, the sets stay."""
        one = world.one
        one.send(response(7, 99), client(1))
        one.path.put_relays({client(1): TWO, client(2): TWO})
        world.make = lambda spec: NftPath(dataclasses.replace(ruleset_of(spec), group=5199))
        world.restart(one)
        assert one.ensure()
        assert not one.ensure()
        assert one.path.relays() == {client(1): TWO, client(2): TWO}
        world.send(data(7), client(1))
        assert one.receive() == [(client(1), data(7))]
        world.send(data(8), client(2))
        assert [event.kind for event in one.events(2)] == [EventKind.FIRST, EventKind.FOREIGN]
        assert one.path.counters().relayed == 1

    def test_a_version_with_other_sets_begins_anew_and_relays_nothing(
        self, world: PathWorld
    ) -> None:
        one = world.one
        one.path.put_relays({client(1): TWO})
        world.make = lambda spec: NftPath(ruleset_of(spec, clients=1000))
        world.restart(one)
        assert one.ensure()
        assert one.path.relays() == {}
        one.path.put_relays({client(1): TWO})
        world.send(data(7), client(1))
        assert [event.kind for event in one.events()] == [EventKind.FOREIGN]
        assert one.path.counters().relayed == 0

    def test_an_uplink_that_was_without_rules_ends_the_trust(self, world: PathWorld) -> None:
        for chain in ("in-up0", "out-up0"):
            world.one.space.run(f"nft delete chain netdev anycastle_takeover {chain}")
        assert world.one.ensure()
        world.one.path.put_relays({client(1): TWO})
        world.send(data(7), client(1))
        world.one.events()
        assert world.one.path.counters().relayed == 0

    def test_a_table_that_somebody_deleted_is_made_again(self, world: PathWorld) -> None:
        one = world.one
        one.path.put_relays({client(1): None})
        one.space.run("nft delete table netdev anycastle_takeover")
        with pytest.raises(PathError, match="relay4"):
            one.path.put_relays({client(2): None})
        assert one.ensure()
        assert one.path.relays() == {}
        one.path.put_relays({client(2): None})
        one.space.run("nft delete table netdev anycastle_takeover")
        assert one.ensure()
        one.path.put_relays({client(2): None})
        world.send(data(7), client(2))
        one.events()

    def test_filters_that_somebody_deleted_are_put_back(self, world: PathWorld) -> None:
        world.two.space.run(f"tc qdisc del dev {FABRIC.device} clsact")
        assert world.two.ensure()
        world.two.send(response(7, 99), client(1))
        world.one.path.put_relays({client(1): TWO})
        world.send(data(7), client(1))
        assert world.two.receive() == [(client(1), data(7))]

    def test_without_a_device_the_rest_is_done(self, world: PathWorld) -> None:
        one = world.one
        one.path.ensure(["up0", "up7"], FABRIC.device)
        one.space.batch(f"link delete {FABRIC.device}")
        with pytest.raises(PathError, match=r"device: fabric0$"):
            one.ensure()
        one.path.put_relays({client(1): None})
        world.send(data(7), client(1))
        one.events()

    def test_an_uplink_without_ethernet_headers_is_refused(self, world: PathWorld) -> None:
        """What came relayed is known by its hardware address."""
        space = world.one.space
        space.batch("link delete up0", "tuntap add up0 mode tun", "link set up0 up")
        with pytest.raises(PathError, match="up0 is no Ethernet device"):
            world.one.ensure()

    def test_the_log_group_has_one_reader(self, world: PathWorld) -> None:
        with (
            world.one.space.entered(),
            pytest.raises(PathError, match="another program reads it"),
        ):
            NftPath.for_node(node_spec()).ensure(["up0"], FABRIC.device)

    def test_events_for_which_there_was_no_room_are_counted(self, world: PathWorld) -> None:
        """More than one reading's worth, and numbers tell of those that were dropped."""
        sources = [client(number) for number in range(700)]
        world.one.path.put_relays(dict.fromkeys(sources))
        for source in sources:
            world.send(data(7), source)
        world.settle()
        seen = len(world.one.path.drain())
        counters = world.one.path.counters()
        assert counters.foreign == 700
        assert counters.reported + counters.suppressed == 700
        assert counters.reported == seen + counters.lost


def test_nftables_take_over_where_bpf_is_refused(world: PathWorld) -> None:
    one = world.one
    one.path.close()

    class Refused(NftPath):
        def ensure(self, *_: object) -> bool:
            raise PathError("Operation not permitted")

        def remove(self) -> None:
            """Nothing of it is there."""

    rules = ruleset_of(one.spec)
    among = [
        Candidate("bpf", lambda _: Refused(rules)),
        Candidate("nftables", lambda reason: NftPath(rules, reason)),
    ]
    with one.space.entered():
        path = choose(["up0", "up7"], FABRIC.device, among)
        try:
            assert isinstance(path, NftPath)
            assert path.reason == "bpf: Operation not permitted"
            assert not path.ensure(["up0"], FABRIC.device)
        finally:
            path.close()
