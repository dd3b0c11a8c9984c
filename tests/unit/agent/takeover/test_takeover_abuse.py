"""Abuse and bad luck, each as a story of several nodes in simulated time.

In all of them: no initiation breaks a rule (`takeover_rules.Rules`), and in the end every
client is with one node, which all nodes agree on.
"""

from __future__ import annotations

from ipaddress import ip_address

from anycastle.agent.takeover.machine import ATTEMPTS, INTERVAL, REST
from anycastle.agent.wireguard.edge import PeerSample
from anycastle.model.addresses import Endpoint
from tests.support.simulated_cluster import Site, World
from tests.support.simulated_node import SimNode
from tests.support.takeover_rules import Rules, settled

ATTACKER = Endpoint(ip_address("198.51.100.66"), 666)
TAKEN = 1.5
"""Seconds in which a takeover is over, from the failure: far from a client's own 15."""


def world(clients: int = 4) -> World:
    """Three nodes, two datacentres; clients talk and are settled."""
    made = World({"ams": ["ams-1", "ams-2"], "fra": ["fra-1"]}, clients)
    Rules(made)
    made.run(5)
    settled(made)
    return made


def owner(made: World, site: Site) -> SimNode:
    living = [node for node in made.nodes.values() if node.alive]
    (node,) = [node for node in living if site.client.id in node.sessions.owned]
    return node


def others(made: World, site: Site) -> list[SimNode]:
    return made.others(owner(made, site).name)


def longest_silence(made: World, site: Site, seconds: float) -> float:
    """What the client goes through in that time."""
    worst, end = 0.0, made.now + seconds
    while made.now < end:
        made.run(0.05)
        worst = max(worst, made.now - site.device.heard_at)
    return worst


def sample_of(node: SimNode, site: Site) -> PeerSample:
    (credential,) = site.client.credentials
    return next(s for s in node.wireguard.sample() if s.public_key == credential.public_key)


def test_spoofed_packets_from_a_known_endpoint() -> None:
    """The attacker reaches another node than the client does: each second a packet."""
    made = world()
    site = made.sites["id1"]
    home, node = owner(made, site), others(made, site)[0]
    began = made.now
    for _ in range(120):
        made.spoof(node.name, site.endpoint)
        assert longest_silence(made, site, 1.0) < 1.0
    assert owner(made, site) is home
    sent = [what.at for what in made.initiations]
    assert {what.endpoint for what in made.initiations} == {site.endpoint}
    burst = (ATTEMPTS - 1) * INTERVAL + 4.5 + REST
    assert len(sent) <= ATTEMPTS * (1 + (made.now - began) / burst)
    settled(made)


def test_spoofed_packets_from_unknown_endpoints() -> None:
    made = world()
    for port in range(1, 200):
        for name in made.nodes:
            made.spoof(name, ATTACKER._replace(port=port))
        made.run(0.05)
    assert made.initiations == []
    settled(made)


def test_spoofed_packets_from_an_endpoint_that_a_client_had() -> None:
    made = world()
    site = made.sites["id1"]
    old, new = site.endpoint, site.endpoint._replace(port=9)
    made.roam(site, new)
    made.run(5)
    for name in made.nodes:
        made.spoof(name, old)
    made.run(5)
    assert made.initiations == []
    settled(made)


def test_an_initiation_replayed_at_another_node() -> None:
    """That node never saw it, so WireGuard answers it and moves the endpoint there."""
    made = world()
    site = made.sites["id1"]
    home, node = owner(made, site), others(made, site)[0]
    made.replay(node.name, site, ATTACKER)
    assert sample_of(node, site).endpoint == ATTACKER
    for _ in range(10):
        made.spoof(node.name, ATTACKER)
        made.run(1)
    assert owner(made, site) is home
    assert all(n.takeover.table.at(ATTACKER) is None for n in made.nodes.values())
    assert made.initiations == []
    made.kill(home.name)  # the poisoned endpoint must not mislead the takeover
    made.run(5)
    assert [what.endpoint for what in made.initiations if what.client == "id1"] in (
        [],
        [site.endpoint],
    )
    made.start(home.name)
    made.run(60)
    settled(made)


def test_initiations_replayed_at_the_owner_that_never_saw_them() -> None:
    """It took the client over, as the initiator: its WireGuard takes old ones for new."""
    made = world()
    site = made.sites["id1"]
    made.run(130)  # a second initiation, by re-keying
    home = owner(made, site)
    made.kill(home.name)
    made.run(TAKEN)
    node = owner(made, site)
    assert node is not home
    site.every = None  # idle, so nothing moves the endpoint back
    made.run(1)
    for back in range(len(site.recorded) - 1, -1, -1):
        made.replay(node.name, site, ATTACKER, back)
        made.run(2)
    assert len(site.recorded) > 1
    assert sample_of(node, site).endpoint == ATTACKER
    assert node.sessions.owned[site.client.id].endpoint == site.endpoint
    assert all(n.takeover.table.at(ATTACKER) is None for n in made.nodes.values())
    site.every = 0.5
    made.start(home.name)
    made.run(60)
    settled(made)


def test_a_client_that_roams_while_its_node_dies() -> None:
    """Nobody knows the new endpoint, so its packets lead to nothing: the client helps
    itself. To the old one the known successor initiates once, as to an idle client's."""
    made = world()
    site = made.sites["id1"]
    home, old = owner(made, site), site.endpoint
    made.roam(site, old._replace(port=9))
    made.kill(home.name)
    made.run(25)
    assert [what.endpoint for what in made.initiations if what.client == "id1"] == [old]
    assert made.now - site.device.heard_at < 1.0
    made.start(home.name)
    made.run(30)
    settled(made)


def test_a_client_that_roams_right_after_its_node_died() -> None:
    made = world()
    site = made.sites["id1"]
    home = owner(made, site)
    made.kill(home.name)
    made.run(0.16)
    made.roam(site, site.endpoint._replace(port=9))
    made.run(40)
    made.start(home.name)
    made.run(60)
    settled(made)


def test_two_nodes_that_both_believe_they_own_a_client() -> None:
    made = world()
    site = made.sites["id1"]
    home = owner(made, site)
    other = next(n for n in others(made, site) if n.datacentre != home.datacentre)
    for node in others(made, site):
        made.partition(home.name, node.name)
    made.run(2)
    site.prefers = [other.name, home.name]
    made.run(3)
    believers = [n.name for n in made.nodes.values() if site.client.id in n.sessions.owned]
    assert sorted(believers) == sorted([home.name, other.name])
    made.heal()
    made.run(1)
    assert owner(made, site) is other  # the newest
    assert longest_silence(made, site, 5) < 1.0
    made.run(30)
    settled(made)


def test_a_partition_while_clients_reach_both_sides_in_turn() -> None:
    made = world()
    for name in ("ams-1", "ams-2"):
        made.partition(name, "fra-1")
    for turn in range(12):
        for site in made.sites.values():
            site.prefers = site.prefers[1:] + site.prefers[:1]
        made.run(3 + turn)
    made.heal()
    made.run(60)
    settled(made)


def test_a_node_that_comes_back_with_stale_state() -> None:
    """It was cut off, not dead: its agent still believes in sessions that have moved."""
    made = world()
    site = made.sites["id1"]
    home = owner(made, site)
    for node in others(made, site):
        made.partition(home.name, node.name)
    made.announce(home.name, on=False)  # its uplink is down, too
    made.run(60)
    (taker,) = [n for n in made.others(home.name) if site.client.id in n.sessions.owned]
    assert site.client.id in home.sessions.owned
    before = len(made.initiations)
    made.announce(home.name, on=True)
    made.heal()
    site.prefers = [taker.name, home.name]
    assert longest_silence(made, site, 10) < 1.0
    assert owner(made, site) is taker
    assert not [w for w in made.initiations[before:] if w.client == site.client.id]
    made.run(30)
    settled(made)


def test_a_node_whose_agent_restarts_does_not_disturb_its_clients() -> None:
    made = world()
    for node in made.nodes.values():
        node.start_agent()
        made.run(1)
    assert max(longest_silence(made, site, 3.0) for site in made.sites.values()) < 1.0
    assert made.initiations == []
    settled(made)


def test_many_clients_behind_one_nat_address() -> None:
    made = world(clients=12)
    address = ip_address("203.0.113.200")
    for number, site in enumerate(made.sites.values()):
        made.roam(site, Endpoint(address, 7000 + number))
        site.prefers = ["ams-1", "ams-2", "fra-1"]
    made.run(20)
    settled(made)
    made.kill("ams-1")
    made.run(3)
    taken = made.initiations[-12:]
    ports = {made.sites[what.client].endpoint for what in taken}
    assert ports == {what.endpoint for what in taken}
    assert all(made.now - site.device.heard_at < 1.0 for site in made.sites.values())
    made.start("ams-1")
    made.run(60)
    settled(made)


def test_a_port_that_another_client_has_a_minute_later() -> None:
    """The first one is off and its session still known when its NAT gives the port away."""
    made = world()
    gone, new = made.sites["id1"], made.sites["id2"]
    port, gone.every = gone.endpoint, None
    made.run(60)
    made.roam(gone, gone.endpoint._replace(port=1))
    made.roam(new, port)
    new.device.current = None  # a phone that was switched on: a new handshake
    made.run(10)
    settled(made)
    home = owner(made, new)
    made.kill(home.name)
    made.run(TAKEN)
    assert [w.client for w in made.initiations if w.endpoint == port] in ([], ["id2"])
    gone.every = 0.5
    made.start(home.name)
    made.run(60)
    settled(made)


def test_a_killed_node_costs_a_busy_client_less_than_its_own_timer() -> None:
    """The measure of all this: it is not the stories' subject, but must hold in them."""
    for name in ("ams-1", "ams-2", "fra-1"):
        made = world()
        made.kill(name)
        for site in made.sites.values():
            site.every = 0.1
        made.run(TAKEN)
        assert all(made.now - site.device.heard_at < 0.5 for site in made.sites.values())
        made.start(name)
        made.run(30)
        settled(made)
