"""A deployment in simulated time: nodes, BGP, edges, NATs, stock clients, and whoever spoofs.

Every initiation that a takeover asks for is held against the rules at once
(`initiation_rules`); what has to be true in the end is asked of `settled`.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address, ip_address

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key
from anycastle.model.node import Loopbacks, Peer
from tests.support.simulated_node import SAMPLE, Around, Initiated, SimNode, key_of
from tests.support.wireguard_model import Data, Device, Initiation, Message

EPOCH = 1_800_000_000.0
WAN, BGP, EDGE, BFD = 0.02, 0.005, 0.15, 0.9
"""Seconds: one way to a client; a route to another node; an edge until it notices that a
node is dead; a node until it does."""


def client(number: int) -> Client:
    return Client(
        id=f"id{number}",
        name=f"client{number}",
        addresses=(ip_address("10.200.0.16") + number, ip_address("fd00:200::10") + number),
        credentials=(Credential(id=f"k{number}", public_key=Key(bytes([number] * 32))),),
    )


@dataclass
class Site:
    """A client with its device. prefers: nodes in the order in which anycast chooses them.
    every: seconds between packets; None: silent. size: of each."""

    client: Client
    device: Device
    endpoint: Endpoint
    prefers: list[str]
    every: float | None = 0.5
    size: int = 128
    recorded: list[Initiation] = field(default_factory=list)


class World:
    """datacentres: name -> names of its nodes. backlog: of each node's pacer."""

    def __init__(self, datacentres: dict[str, list[str]], clients: int, backlog: int = 3) -> None:
        self.now = 0.0
        self.initiations: list[Initiated] = []
        self.cut: set[frozenset[str]] = set()
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._number = itertools.count()
        enrolled = [client(number) for number in range(1, clients + 1)]
        self.nodes: dict[str, SimNode] = {}
        self._reachable: dict[str, bool] = {}
        self.peers: list[Peer] = []
        for datacentre, names in datacentres.items():
            for name in names:
                self._add_node(name, datacentre, enrolled, backlog)
        self.sites = {c.id: self._add_site(c, number) for number, c in enumerate(enrolled, 1)}
        self._by_endpoint = {site.endpoint: site for site in self.sites.values()}
        for number, node in enumerate(self.nodes.values()):
            self._repeat(SAMPLE, node.sample, SAMPLE / 7 * number)
            self._repeat(0.25, node.tick, 0.01)
        self.beacons()

    def _add_node(
        self, name: str, datacentre: str, clients: Sequence[Client], backlog: int
    ) -> None:
        number = len(self.nodes) + 1
        loopbacks = Loopbacks(IPv4Address("10.64.0.0") + number, IPv6Address("fd00:64::") + number)
        around = Around(
            now=lambda: self.now,
            wall=lambda: EPOCH + self.now,
            later=self.later,
            to_client=self._to_client,
            relay=lambda to, source, message: self._relay(name, to, source, message),
            tell=lambda prefix, route: self._tell(name, prefix, route),
            initiated=self.initiations.append,
        )
        self._reachable[name] = True
        self.nodes[name] = SimNode(name, datacentre, loopbacks.v4, clients, around, backlog)
        self.peers.append(Peer(name=name, datacentre=datacentre, loopbacks=loopbacks))

    def _add_site(self, enrolled: Client, number: int) -> Site:
        """Two clients share a NAT's address."""
        endpoint = Endpoint(ip_address("203.0.113.0") + (number + 1) // 2, 4000 + number)
        device = Device(key_of(enrolled), lambda message: self._to_service(site, message))
        names = list(self.nodes)
        turned = names[number % len(names) :] + names[: number % len(names)]
        site = Site(enrolled, device, endpoint, turned)
        self._repeat(0.25, lambda: device.tick(self.now, EPOCH + self.now), 0.02 * number)
        self.later(0.1 * number, lambda: self._talk(site))
        return site

    # time ----------------------------------------------------------------------

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + seconds, next(self._number), call))

    def _repeat(self, seconds: float, call: Callable[[], None], first: float) -> None:
        def again() -> None:
            call()
            self.later(seconds, again)

        self.later(first, again)

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self._queue and self._queue[0][0] <= end:
            self.now, _, call = heapq.heappop(self._queue)
            call()
        self.now = end

    # packets -------------------------------------------------------------------

    def _talk(self, site: Site) -> None:
        if site.every is not None:
            site.device.talk(site.size, self.now, EPOCH + self.now)
        self.later(site.every or 1.0, lambda: self._talk(site))

    def serving(self, site: Site) -> SimNode | None:
        """Where anycast takes the client's packets now."""
        for name in site.prefers:
            if self._reachable[name] and self.nodes[name].announced:
                return self.nodes[name]
        return None

    def _to_service(self, site: Site, message: Message) -> None:
        if isinstance(message, Initiation):
            site.recorded.append(message)
        source = site.endpoint
        self.later(WAN, lambda: self._arrive(self.serving(site), message, source))

    @staticmethod
    def _arrive(node: SimNode | None, message: Message, source: Endpoint) -> None:
        if node is not None:
            node.arrive(message, source)

    def _to_client(self, endpoint: Endpoint, message: Message) -> None:
        def deliver() -> None:
            site = self._by_endpoint.get(endpoint)
            if site is not None:
                site.device.receive(message, self.now)

        self.later(WAN, deliver)

    def _relay(self, sender: str, to: IPv4Address, source: Endpoint, message: Message) -> None:
        owner = next(node for node in self.nodes.values() if node.loopback == to)
        if self.linked(sender, owner.name) and isinstance(message, Data):
            self.later(BGP, lambda: owner.relayed(message, source))

    def spoof(self, node: str, endpoint: Endpoint) -> None:
        """A forged data packet arrives."""
        self.nodes[node].arrive(Data(0xBAD, None, 128), endpoint)

    def replay(self, node: str, site: Site, endpoint: Endpoint, back: int = 0) -> None:
        """A recorded initiation of a client, its last but `back`, comes from elsewhere."""
        if len(site.recorded) > back:
            self.nodes[node].arrive(site.recorded[-1 - back], endpoint)

    def roam(self, site: Site, endpoint: Endpoint) -> None:
        """The client, or its NAT, has another endpoint, unless another client has it."""
        if endpoint not in self._by_endpoint:
            del self._by_endpoint[site.endpoint]
            site.endpoint = endpoint
            self._by_endpoint[endpoint] = site

    # BGP -----------------------------------------------------------------------

    def linked(self, one: str, other: str) -> bool:
        return frozenset((one, other)) not in self.cut

    def others(self, name: str) -> list[SimNode]:
        return [node for node in self.nodes.values() if node.name != name]

    def _tell(self, name: str, prefix: Network, route: ClientRoute | None) -> None:
        node = self.nodes[name]
        if route is not None:
            route = ClientRoute(prefix, route.endpoint, route.confirmed_at, node.loopback)
        for other in self.others(name):
            self._later_hear(node, other, {prefix: route})

    def _later_hear(
        self, node: SimNode, to: SimNode, routes: dict[Network, ClientRoute | None]
    ) -> None:
        life = node.life

        def hear() -> None:
            if self.linked(node.name, to.name) and node.alive and node.life == life:
                to.hear(node.loopback, routes)

        self.later(BGP, hear)

    def _meet(self, one: SimNode, other: SimNode) -> None:
        """A BGP session comes up: each tells the other everything."""
        for node, to in ((one, other), (other, one)):
            routes: dict[Network, ClientRoute | None] = {
                prefix: ClientRoute(prefix, route.endpoint, route.confirmed_at, node.loopback)
                for prefix, route in node.routes.items()
            }
            self._later_hear(node, to, routes)

    def beacons(self) -> None:
        """Everybody learns who announces."""
        for node in self.nodes.values():
            if node.alive:
                others = {
                    other.loopback: False
                    for other in self.others(node.name)
                    if other.alive and other.announced and self.linked(node.name, other.name)
                }
                peers = [peer for peer in self.peers if peer.name != node.name]
                node.announcers(others, peers)

    # failures --------------------------------------------------------------------

    def kill(self, name: str) -> None:
        node = self.nodes[name]
        if node.alive:
            node.die()
            self.later(EDGE, lambda: self._reachable.__setitem__(name, node.alive))
            self.later(BFD, lambda: self._notice(node))

    def _notice(self, node: SimNode) -> None:
        if not node.alive:
            for other in self.others(node.name):
                other.unhear(node.loopback)
            self.beacons()

    def start(self, name: str) -> None:
        """Switch a host on; it has forgotten everything."""
        node = self.nodes[name]
        if node.alive:
            return
        for other in self.others(name):
            other.unhear(node.loopback)
        node.boot()
        self._reachable[name] = True
        for other in self.others(name):
            if other.alive and self.linked(name, other.name):
                self._meet(node, other)
        self.beacons()

    def announce(self, name: str, *, on: bool) -> None:
        self.nodes[name].announced = on
        self.beacons()

    def partition(self, one: str, other: str) -> None:
        pair = frozenset((one, other))
        self.cut.add(pair)
        self.later(BFD, lambda: self._part(pair))

    def _part(self, pair: frozenset[str]) -> None:
        if pair in self.cut:
            one, other = (self.nodes[name] for name in pair)
            one.unhear(other.loopback)
            other.unhear(one.loopback)
            self.beacons()

    def heal(self) -> None:
        """All links are up again."""
        pairs, self.cut = self.cut, set()
        for pair in pairs:
            one, other = (self.nodes[name] for name in pair)
            if one.alive and other.alive:
                self._meet(one, other)
        self.beacons()
