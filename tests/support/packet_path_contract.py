"""What holds of every packet path: the BPF one, the nftables one, and in part the fake.

Test classes of the integration and kernel suites inherit these tests; each has the
fixture that the contract asks for.
"""

from __future__ import annotations

import select
from ipaddress import IPv4Address

import pytest

from anycastle.agent.takeover.path import EventKind, PacketPath
from anycastle.model.addresses import Endpoint
from tests.support.path_world import LOOPBACKS, PathWorld, client, data, initiation, response

ONE, TWO = LOOPBACKS
GONE = IPv4Address("10.64.0.9")
BOTH = pytest.mark.parametrize("version", [4, 6])


class RelayTableContract:
    """The table of endpoints. Fixture `path`: a path that is loaded and empty."""

    def test_it_starts_empty(self, path: PacketPath) -> None:
        assert path.relays() == {}

    def test_what_was_put_is_held(self, path: PacketPath) -> None:
        wanted = {client(1): TWO, client(2): None, client(3, 6): GONE, client(4, 6): None}
        path.put_relays(wanted)
        assert path.relays() == wanted

    def test_an_owner_can_change_and_vanish_and_come_back(self, path: PacketPath) -> None:
        for owner in (TWO, GONE, None, None, TWO):
            path.put_relays({client(1): owner, client(2, 6): owner})
            assert path.relays() == {client(1): owner, client(2, 6): owner}

    def test_removing_leaves_the_others(self, path: PacketPath) -> None:
        path.put_relays({client(1): TWO, client(2): TWO, client(3, 6): None})
        path.remove_relays([client(2), client(3, 6)])
        assert path.relays() == {client(1): TWO}

    def test_removing_what_is_not_there_is_no_error(self, path: PacketPath) -> None:
        path.remove_relays([client(1), client(2, 6)])
        path.put_relays({client(1): TWO})
        path.remove_relays([client(1), client(1), client(5)])
        assert path.relays() == {}

    def test_ports_of_one_address_are_clients_of_their_own(self, path: PacketPath) -> None:
        many = {Endpoint(client(1).address, port): TWO for port in (1, 255, 256, 65535)}
        path.put_relays(many)
        path.remove_relays([Endpoint(client(1).address, 256)])
        assert {endpoint.port for endpoint in path.relays()} == {1, 255, 65535}

    def test_thousands(self, path: PacketPath) -> None:
        many = {
            Endpoint(IPv4Address(0x0B000000 + number), 1000 + number % 7): (TWO, None)[number % 2]
            for number in range(5000)
        }
        path.put_relays(many)
        assert path.relays() == many
        path.remove_relays(list(many)[:4999])
        assert len(path.relays()) == 1

    def test_nothing_waits(self, path: PacketPath) -> None:
        assert path.drain() == []

    def test_forgetting_what_was_never_known_is_no_error(self, path: PacketPath) -> None:
        path.forget([client(1), client(1), client(2, 6)])
        path.forget([client(1)])


class PacketPathContract:
    """Real packets. Fixture `world`: tests.support.path_world."""

    @BOTH
    def test_data_under_an_own_index_is_ours(self, world: PathWorld, version: int) -> None:
        for index, message in ((0x01020304, initiation(0x01020304)), (7, response(7, 99))):
            world.one.send(message, client(1, version))
            world.one.path.put_relays({client(1, version): TWO})
            world.send(data(index), client(1, version))
            assert world.one.receive() == [(client(1, version), data(index))]
        assert world.one.path.counters().own == 2
        assert world.one.path.counters().foreign == 0

    @BOTH
    def test_an_own_index_is_ours_from_wherever_it_comes(
        self, world: PathWorld, version: int
    ) -> None:
        """A client that roams."""
        world.one.send(response(7, 99), client(1, version))
        world.one.path.put_relays({client(2, version): TWO})
        world.send(data(7), client(2, version))
        assert world.one.receive() == [(client(2, version), data(7))]

    @BOTH
    def test_data_of_an_unknown_endpoint_is_left_to_wireguard(
        self, world: PathWorld, version: int
    ) -> None:
        world.send(data(7), client(1, version))
        assert world.one.receive() == [(client(1, version), data(7))]
        assert world.one.path.counters().unknown == 1
        assert world.one.path.drain() == []

    @BOTH
    def test_foreign_data_is_reported_and_reaches_its_owner(
        self, world: PathWorld, version: int
    ) -> None:
        one, two = world.one, world.two
        two.send(response(7, 99), client(1, version))
        one.path.put_relays({client(1, version): TWO})
        world.send(data(7), client(1, version))
        assert two.receive() == [(client(1, version), data(7))]
        (event,) = one.events()
        assert (event.kind, event.endpoint) == (EventKind.FOREIGN, client(1, version))
        assert one.received() == []
        assert (one.path.counters().foreign, one.path.counters().relayed) == (1, 1)
        assert two.path.counters().delivered == 1

    @pytest.mark.parametrize(("version", "size"), [(4, 1472), (6, 1452)])
    def test_a_packet_of_full_size_is_relayed(
        self, world: PathWorld, version: int, size: int
    ) -> None:
        """Longer than the inter-node path's MTU: the tunnel's own packet is fragmented."""
        world.two.send(response(7, 99), client(1, version))
        world.one.path.put_relays({client(1, version): TWO})
        for counter in range(5):
            world.send(data(7, size, counter), client(1, version))
        received = world.two.receive(5)
        # In any order: each is put together again by the CPU that its fragments came to.
        assert sorted(payload for _, payload in received) == [data(7, size, n) for n in range(5)]

    @BOTH
    def test_the_owner_answers_over_its_own_uplink(self, world: PathWorld, version: int) -> None:
        assert world.answers(client(1, version)) == []
        world.two.send(response(7, 99), client(1, version))
        world.settle()
        assert world.answers(client(1, version)) == [response(7, 99)]
        world.one.path.put_relays({client(1, version): TWO})
        world.send(data(7), client(1, version))
        ((source, _),) = world.two.receive()
        world.two.send(data(99), source)
        world.settle()
        assert world.answers(client(1, version)) == [data(99)]

    @BOTH
    def test_what_came_relayed_is_never_relayed_again(self, world: PathWorld, version: int) -> None:
        """Each believes that the other one has the client."""
        world.one.path.put_relays({client(1, version): TWO})
        world.two.path.put_relays({client(1, version): ONE})
        world.send(data(7), client(1, version))
        world.settle()
        assert world.one.received() == []
        assert world.two.received() == []
        assert world.two.path.counters().refused == 1
        assert world.two.path.counters().relayed == 0
        assert world.two.path.drain() == []

    @BOTH
    def test_a_vanished_owner_is_reported_only(self, world: PathWorld, version: int) -> None:
        world.one.path.put_relays({client(1, version): None})
        world.send(data(7), client(1, version))
        (event,) = world.one.events()
        assert (event.kind, event.endpoint) == (EventKind.FOREIGN, client(1, version))
        assert world.one.path.counters().relayed == 0
        assert world.one.path.counters().foreign == 1

    @BOTH
    def test_without_trust_nothing_is_relayed_but_all_is_reported(
        self, world: PathWorld, version: int
    ) -> None:
        world.one.path.trust(False)
        world.two.send(response(7, 99), client(1, version))
        world.one.path.put_relays({client(1, version): TWO})
        world.send(data(7), client(1, version))
        assert [event.kind for event in world.one.events()] == [EventKind.FOREIGN]
        assert world.one.path.counters().relayed == 0
        assert world.two.received() == []
        world.one.path.trust(True)
        world.send(data(7), client(1, version))
        world.two.receive()

    @BOTH
    def test_a_client_that_was_taken_over_is_relayed_no_more(
        self, world: PathWorld, version: int
    ) -> None:
        world.one.path.put_relays({client(1, version): TWO})
        world.one.path.remove_relays([client(1, version)])
        world.send(data(7), client(1, version))
        assert world.one.receive() == [(client(1, version), data(7))]

    @BOTH
    def test_forgotten_indices_are_foreign_until_negotiated_anew(
        self, world: PathWorld, version: int
    ) -> None:
        one, two, lost = world.one, world.two, client(1, version)
        one.send(response(7, 99), lost)
        one.send(response(8, 99), client(2, version))
        two.send(response(9, 99), lost)
        one.path.forget([lost])
        one.path.put_relays({lost: TWO, client(2, version): TWO})
        for index, source in ((7, lost), (8, client(2, version)), (9, lost)):
            world.send(data(index), source)
        assert one.receive() == [(client(2, version), data(8))]
        assert two.receive() == [(lost, data(9))]
        assert two.path.counters().refused == 1
        one.send(initiation(10), lost)
        world.send(data(10), lost)
        assert one.receive() == [(lost, data(10))]

    @BOTH
    def test_a_forgotten_client_that_comes_relayed_is_refused(
        self, world: PathWorld, version: int
    ) -> None:
        world.two.send(response(7, 99), client(1, version))
        world.two.path.forget([client(1, version)])
        world.one.path.put_relays({client(1, version): TWO})
        world.send(data(7), client(1, version))
        world.settle()
        assert world.two.received() == []
        assert world.two.path.counters().refused == 1

    @BOTH
    def test_the_first_data_under_a_new_index_is_reported_once(
        self, world: PathWorld, version: int
    ) -> None:
        world.one.send(response(7, 99), client(1, version))
        for counter in range(3):
            world.send(data(7, 32, counter), client(1, version))
        world.one.receive(3)
        seen = [(event.kind, event.endpoint) for event in world.one.events()]
        assert seen == [(EventKind.FIRST, client(1, version))]
        world.settle()
        assert world.one.path.drain() == []

    @BOTH
    def test_an_answer_to_an_own_initiation_is_reported_once(
        self, world: PathWorld, version: int
    ) -> None:
        world.one.send(initiation(7), client(1, version))
        for receiver in (8, 7, 7):
            world.send(response(99, receiver), client(1, version))
        world.one.receive(3)
        seen = [(event.kind, event.endpoint) for event in world.one.events()]
        assert seen == [(EventKind.ANSWERED, client(1, version))]

    def test_an_endpoint_is_reported_once_a_second(self, world: PathWorld) -> None:
        world.one.path.put_relays({client(1): None, client(2): None})
        for counter in range(200):
            world.send(data(7, 32, counter), client(1))
            world.send(data(7, 32, counter), client(2))
        world.one.receive(400)
        world.settle()
        events = world.one.path.drain()
        seconds = max(event.at for event in events) - min(event.at for event in events)
        for one in (client(1), client(2)):
            assert 1 <= sum(event.endpoint == one for event in events) <= 2 + seconds
        counters = world.one.path.counters()
        assert counters.foreign == 400
        assert counters.reported == len(events)
        assert counters.suppressed == 400 - len(events)

    def test_junk_never_gets_out_of_the_kernel(self, world: PathWorld) -> None:
        """Nobody's endpoints; and of known ones what is no data packet for the service."""
        world.one.path.put_relays({client(1): TWO, client(2, 6): TWO})
        junk = [b"", b"\4", b"\4\0\0\0abc", data(7)[:31], b"\4\1\0\0" + data(7)[4:]]
        junk += [initiation(7), response(7, 8), b"\3\0\0\0" + bytes(60), bytes(200)]
        for payload in junk:
            for source in (client(1), client(2, 6)):
                world.send(payload, source)
        for number in range(10, 410):
            world.send(data(number), client(number))
        world.settle()
        assert world.one.path.drain() == []
        assert world.two.received() == []
        counters = world.one.path.counters()
        assert (counters.foreign, counters.relayed, counters.unknown) == (0, 0, 400)
        assert len(world.one.received()) >= 400

    def test_other_addresses_and_ports_are_left_alone(self, world: PathWorld) -> None:
        world.one.path.put_relays({client(1): TWO})
        world.send(data(7), client(1), to=IPv4Address("10.65.0.3"))
        world.settle()
        assert world.one.path.counters().foreign == 0
        assert world.one.path.drain() == []

    def test_events_make_the_descriptor_readable(self, world: PathWorld) -> None:
        path = world.one.path
        path.put_relays({client(1): None})
        assert select.select([path.fileno()], [], [], 0) == ([], [], [])
        world.send(data(7), client(1))
        assert select.select([path.fileno()], [], [], 5)[0] == [path.fileno()]
        assert len(path.drain()) == 1
        assert select.select([path.fileno()], [], [], 0) == ([], [], [])

    def test_everything_survives_a_restart(self, world: PathWorld) -> None:
        one, two = world.one, world.two
        one.send(response(7, 99), client(1))
        two.send(response(8, 99), client(2))
        relays = {client(1): TWO, client(2): TWO, client(3, 6): None}
        one.path.put_relays(relays)
        one.path.close()
        world.send(data(7), client(1))
        world.send(data(8), client(2))
        assert one.receive() == [(client(1), data(7))]
        assert two.receive() == [(client(2), data(8))]
        world.restart(one)
        one.ensure()
        assert not one.ensure()
        assert one.path.relays() == relays
        world.send(data(8), client(2))
        assert two.receive() == [(client(2), data(8))]
        assert one.path.counters().own >= 1

    def test_ensure_has_nothing_to_do_twice(self, world: PathWorld) -> None:
        assert not world.one.ensure()

    def test_a_device_that_was_made_again_is_hooked_again(self, world: PathWorld) -> None:
        one = world.one
        one.path.put_relays({client(1): None})
        world.replug()
        assert one.ensure()
        assert one.path.relays() == {client(1): None}
        world.send(data(7), client(1))
        assert [event.kind for event in one.events()] == [EventKind.FOREIGN]

    def test_removed_means_that_nothing_is_left(self, world: PathWorld) -> None:
        world.one.path.put_relays({client(1): TWO})
        world.one.path.remove()
        world.send(data(7), client(1))
        assert world.one.receive() == [(client(1), data(7))]
        assert world.one.ensure()
        assert world.one.path.relays() == {}
