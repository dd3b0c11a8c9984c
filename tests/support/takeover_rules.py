"""What must be true of every initiation, and of a deployment that is left in peace."""

from __future__ import annotations

from ipaddress import IPv4Address

from anycastle.agent.sessions import prefixes
from anycastle.agent.takeover.machine import FRESH, INTERVAL
from tests.support.simulated_cluster import Site, World
from tests.support.simulated_node import TOLERATED, Initiated, SimNode
from tests.support.wireguard_model import stamp

ROUNDING = 1e-6


class Rules:
    """Watches a world: every initiation that a takeover asks for is judged at once."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[Initiated] = []
        for node in world.nodes.values():
            node.around.initiated = self.judge

    def judge(self, what: Initiated) -> None:
        world, node = self.world, self.world.nodes[what.node]
        for before in self.seen:
            if before.node == what.node:
                _far_enough(before, what)
        self.seen.append(what)
        world.initiations.append(what)
        row = node.takeover.table.at(what.endpoint)
        assert row is not None, f"{what}: the endpoint is not in the table"
        assert row.claim is not None, f"{what}: nobody owned the client"
        assert row.client.id == what.client, f"{what}: the endpoint is {row.client.name}'s"
        assert what.client not in node.sessions.owned, f"{what}: the session is here already"
        assert abs(node.offset) <= TOLERATED, f"{what}: the clock is off by {node.offset} s"
        assert stamp(node.wall) > stamp(row.claim.confirmed_at), f"{what}: behind the owner"
        assert node.takeover.counts().initiating <= node.backlog, f"{what}: too many open"
        heard = node.foreign.get(what.endpoint)
        if heard is None or what.at - heard > FRESH + ROUNDING:
            self._exception(node, row.claim.owner, what)

    def _exception(self, node: SimNode, owner: IPv4Address, what: Initiated) -> None:
        """No packet: only as the one known successor."""
        world = self.world
        gone = next(other for other in world.nodes.values() if other.loopback == owner)
        announcing = [
            other
            for other in world.others(node.name)
            if other.alive and other.announced and world.linked(node.name, other.name)
        ]
        rivals = [other.name for other in announcing if other.datacentre == node.datacentre]
        assert node.announced, f"{what}: without a packet, and it does not announce"
        assert gone.datacentre == node.datacentre, f"{what}: without a packet, from elsewhere"
        assert not rivals, f"{what}: without a packet, and it could be {rivals}"


def _far_enough(before: Initiated, what: Initiated) -> None:
    gap = what.at - before.at
    again = before.client == what.client and before.life == what.life
    if again and before.sent and what.sent:
        assert gap >= INTERVAL - ROUNDING, f"{what} {gap} s after another one"


def settled(world: World) -> None:
    """Each client that sends is served, and owned by one node as all others agree."""
    for site in world.sites.values():
        if site.every is not None:
            _settled(world, site)
    for node in world.nodes.values():
        assert node.path.relays() == node.takeover.table.relays, f"{node.name}'s relays"


def _settled(world: World, site: Site) -> None:
    name = site.client.name
    owners = [n for n in world.nodes.values() if site.client.id in n.sessions.owned]
    assert len(owners) == 1, f"{name} is owned by {[node.name for node in owners]}"
    owner = owners[0]
    silence = world.now - site.device.heard_at
    assert site.size == 32 or silence < 1.0, f"{name} has heard nothing for {silence} s"
    assert owner.sessions.owned[site.client.id].endpoint == site.endpoint
    assert owner.others(prefixes(site.client)[0]) == []
    assert site.endpoint not in owner.path.relays()
    for node in world.others(owner.name):
        row = node.takeover.table.get(site.client.id)
        assert row is not None
        assert row.claim is not None, f"{node.name} knows nobody for {name}"
        assert (row.claim.owner, row.live) == (owner.loopback, True), f"{node.name}: {row}"
        assert node.path.relays().get(site.endpoint) == owner.loopback
