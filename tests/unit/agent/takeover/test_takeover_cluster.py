"""Several nodes, whatever happens: what no single machine can promise.

The rules of initiating are checked at each initiation (`tests/support/takeover_rules.py`). At the end everything is repaired, and then every client that sends has to be
owned by exactly one node, as all nodes agree, and be served by it.
"""

from __future__ import annotations

from ipaddress import ip_address

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from anycastle.agent.takeover.table import HOLD
from anycastle.model.addresses import Endpoint
from tests.support.simulated_cluster import Site, World
from tests.support.takeover_rules import Rules, settled

DATACENTRES = {"ams": ["ams-1", "ams-2"], "fra": ["fra-1"]}
NODES = ["ams-1", "ams-2", "fra-1"]
CLIENTS = 5
ATTACKER = Endpoint(ip_address("198.51.100.66"), 666)
STRANGER = Endpoint(ip_address("198.51.100.77"), 777)
REPAIRED = 300.0
"""Seconds of peace in which everybody finds home: longer than any session lives."""

nodes = st.sampled_from(NODES)
numbers = st.integers(1, CLIENTS)


class Cluster(RuleBasedStateMachine):
    """What may happen, in any order."""

    @initialize()
    def begin(self) -> None:
        self.world = World(DATACENTRES, CLIENTS)
        Rules(self.world)
        self.world.run(3)

    def site(self, number: int) -> Site:
        return self.world.sites[f"id{number}"]

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.2, 0.5, 1.0, 2.0, 5.0, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.world.run(seconds)

    @precondition(lambda self: sum(node.alive for node in self.world.nodes.values()) > 1)
    @rule(name=nodes)
    def kill(self, name: str) -> None:
        self.world.kill(name)

    @rule(name=nodes)
    def start(self, name: str) -> None:
        self.world.start(name)

    @rule(name=nodes, on=st.booleans())
    def drain(self, name: str, on: bool) -> None:
        self.world.announce(name, on=on)

    @rule(name=nodes)
    def restart_agent(self, name: str) -> None:
        if self.world.nodes[name].alive:
            self.world.nodes[name].start_agent()

    @rule(one=nodes, other=nodes)
    def partition(self, one: str, other: str) -> None:
        if one != other:
            self.world.partition(one, other)

    @rule()
    def heal(self) -> None:
        self.world.heal()

    @rule(number=numbers, order=st.permutations(NODES))
    def reroute(self, number: int, order: list[str]) -> None:
        self.site(number).prefers = order

    @rule(number=numbers, port=st.integers(4001, 4000 + 2 * CLIENTS))
    def roam(self, number: int, port: int) -> None:
        """Also onto a port that another client had a moment ago."""
        address = self.site(number).endpoint.address
        self.world.roam(self.site(number), Endpoint(address, port))

    @rule(number=numbers, every=st.sampled_from([0.1, 0.5, 3.0, 25.0, None]))
    def talk(self, number: int, every: float | None) -> None:
        site = self.site(number)
        site.every, site.size = every, 32 if every == 25.0 else 128

    @rule(name=nodes, number=numbers)
    def spoof(self, name: str, number: int) -> None:
        self.world.spoof(name, self.site(number).endpoint)

    @rule(name=nodes)
    def spoof_stranger(self, name: str) -> None:
        self.world.spoof(name, STRANGER)

    @rule(name=nodes, number=numbers, back=st.integers(0, 2))
    def replay(self, name: str, number: int, back: int) -> None:
        self.world.replay(name, self.site(number), ATTACKER, back)

    @rule(name=nodes, offset=st.sampled_from([-30.0, -0.09, 0.0, 0.09, 0.5, 20.0]))
    def shift_clock(self, name: str, offset: float) -> None:
        self.world.nodes[name].set_clock(offset)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        for name, node in world.nodes.items():
            world.start(name)
            world.announce(name, on=True)
            node.set_clock(0.0)
        world.heal()
        for site in world.sites.values():
            site.every, site.size = 0.5, 128
        world.run(REPAIRED)
        settled(world)
        world.run(HOLD)
        settled(world)
        assert STRANGER not in {what.endpoint for what in world.initiations}
        for node in world.nodes.values():
            assert all(row.vanished_at is None for row in node.takeover.table if row.own is None)
            assert node.takeover.counts().waiting == 0


Cluster.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
test_any_order_of_events = Cluster.TestCase
