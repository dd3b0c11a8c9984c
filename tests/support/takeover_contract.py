"""What takeover promises with any kind of WireGuard and any packet path.

Fixture `takeover`: tests.support.takeover_world, the client connected to the first node.
"""

from __future__ import annotations

import time

from tests.support.takeover_world import (
    GATEWAY,
    TakeoverNode,
    TakeoverWorld,
    let_go,
    take_over,
)
from tests.support.traffic import Ping, running

INTERVAL = 0.05
"""Seconds between two packets of a stream: an emulated machine is slow."""
GRACE = 1.0


def drain(world: TakeoverWorld, old: TakeoverNode, new: TakeoverNode) -> float:
    """The route moves while both nodes serve; seconds from the report to the session."""
    endpoint = old.sample().endpoint
    assert endpoint is not None
    new.path.put_relays({endpoint: old.loopback})
    world.route_to(new)
    taken, seconds = take_over(new)
    old.path.put_relays({taken: new.loopback})
    time.sleep(GRACE)
    let_go(old, taken)
    new.path.remove_relays([endpoint, taken])
    return seconds


class TakeoverContract:
    def test_packets_of_a_live_owner_are_relayed_and_answered_over_its_uplink(
        self, takeover: TakeoverWorld
    ) -> None:
        """WireGuard takes the source of its answer from the packet, or by the mark's table."""
        one, two = takeover.one, takeover.two
        endpoint = one.sample().endpoint
        assert endpoint is not None
        two.path.put_relays({endpoint: one.loopback})
        takeover.route_to(two)
        before = takeover.received(one), takeover.received(two)
        assert takeover.ping(20) == 0
        assert two.path.counters().relayed >= 20
        assert one.path.counters().delivered >= 20
        assert takeover.received(one) - before[0] >= 20
        assert takeover.received(two) - before[1] < 10
        assert two.sample().received == 0

    def test_a_drain_and_back_loses_nothing(self, takeover: TakeoverWorld) -> None:
        with running([stream(takeover)]) as (ping,):
            time.sleep(1)
            for old, new in [(takeover.one, takeover.two), (takeover.two, takeover.one)] * 2:
                drain(takeover, old, new)
            time.sleep(1)
            flow = ping.stop(grace=2.0)
        assert flow.sent > 50
        assert flow.lost == [], str(flow)
        assert takeover.two.path.counters().refused == 0
        assert takeover.one.path.counters().refused == 0

    def test_a_dead_owner_is_succeeded_at_the_clients_next_packet(
        self, takeover: TakeoverWorld
    ) -> None:
        one, two = takeover.one, takeover.two
        endpoint = one.sample().endpoint
        assert endpoint is not None
        two.path.put_relays({endpoint: None})
        with running([stream(takeover)]) as (ping,):
            time.sleep(1)
            one.space.batch("link set up0 down", "link set l0 down")
            takeover.route_to(two)
            take_over(two)
            two.path.remove_relays([endpoint])
            time.sleep(3)
            flow = ping.stop(grace=2.0)
        # The client's own timer would take 15 s, and it answers no sooner without us.
        assert flow.longest_gap < 5, str(flow)
        assert two.keepalive() == "off"

    def test_without_takeover_the_client_waits_for_its_own_timer(
        self, takeover: TakeoverWorld
    ) -> None:
        """What the other tests would look like if they tested nothing."""
        with running([stream(takeover)]) as (ping,):
            time.sleep(1)
            takeover.one.space.batch("link set up0 down")
            takeover.route_to(takeover.two)
            time.sleep(6)
            silent = time.time() - ping.stop().last_answer
        assert silent > 5


def stream(world: TakeoverWorld) -> Ping:
    return Ping(world.client.name, GATEWAY, interval=INTERVAL)
