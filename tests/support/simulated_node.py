"""A node of the simulated deployment: the real takeover core and sessions over models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.sessions import Outcome, Sessions
from anycastle.agent.takeover.fake import FakePath
from anycastle.agent.takeover.path import EventKind
from anycastle.agent.takeover.plan import Plan
from anycastle.agent.takeover.takeover import Takeover
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.client import Client
from anycastle.model.codec import Key
from anycastle.model.node import Peer
from tests.support.wireguard_model import Data, Initiation, Message, NodeWireGuard, Response

SAMPLE, HINTED = 0.5, 0.02
"""Seconds between samples of WireGuard, and from a hint to a sample."""
TOLERATED = 0.1
"""Seconds by which a clock may be off without being noticed."""


@dataclass(frozen=True)
class Initiated:
    """An initiation that the takeover asked for. agent: whose. life: number of the host's
    boot. sent: by WireGuard, which sends none within 5 s of the last one, unless the peer
    was made anew; so a restart of the agent does not lead to more."""

    at: float
    node: str
    client: str
    endpoint: Endpoint
    agent: Takeover
    life: int
    sent: bool


@dataclass
class Around:
    """What a node needs of the world. later: call after so many seconds. to_client: put a
    message on the wire. relay, tell: to another node, by loopback."""

    now: Callable[[], float]
    wall: Callable[[], float]
    later: Callable[[float, Callable[[], None]], None]
    to_client: Callable[[Endpoint, Message], None]
    relay: Callable[[IPv4Address, Endpoint, Message], None]
    tell: Callable[[Network, ClientRoute | None], None]
    initiated: Callable[[Initiated], None]


class SimNode:
    """offset: of its clock, seconds. announced: do edges send clients here? demoted: too.

    life: number of the host's boot. heard: other nodes' routes, by who told them. told:
    what the takeover knows of BGP.
    """

    def __init__(
        self,
        name: str,
        datacentre: str,
        loopback: IPv4Address,
        clients: Iterable[Client],
        around: Around,
        backlog: int,
    ) -> None:
        self.name, self.datacentre, self.loopback = name, datacentre, loopback
        self.around, self.backlog = around, backlog
        self.enrolled = {client.id: client for client in clients}
        self.offset = 0.0
        self.announced = True
        self.life = 0
        self.boot()

    # life --------------------------------------------------------------------

    def boot(self) -> None:
        """A host that has just been switched on."""
        self.alive = True
        self.life += 1
        self.wireguard = NodeWireGuard(self._send)
        for client in self.enrolled.values():
            for credential in client.credentials:
                self.wireguard.reset(credential.public_key)
        self.path = FakePath()
        self.heard: dict[IPv4Address, dict[Network, ClientRoute]] = {}
        self.routes: dict[Network, ClientRoute] = {}
        self.start_agent()

    def start_agent(self) -> None:
        """A new agent on a host whose data path and daemon may have been at work before."""
        self.sessions = Sessions(self.others)
        self.told: dict[Network, ClientRoute | None] = {}
        self.takeover = Takeover(self.loopback, self.backlog)
        self.foreign: dict[Endpoint, float] = {}
        self._wake_at: float | None = None
        now, wall = self.around.now(), self.wall
        clients = self.enrolled.values()
        self.sessions.replace_all(clients, wall)
        self.carry(self.takeover.replace_clients(clients, now, wall))
        self.carry(self.takeover.resync(self.path.relays(), now, wall))
        self.sample()
        self.path.trust(True)
        self.set_clock(self.offset)
        self.look_at_routes({p for known in self.heard.values() for p in known})

    def die(self) -> None:
        self.alive = False

    @property
    def wall(self) -> float:
        return self.around.wall() + self.offset

    def set_clock(self, offset: float) -> None:
        self.offset = offset
        complaint = "" if abs(offset) <= TOLERATED else f"off by {offset} s"
        self.carry(self.takeover.clock(complaint, self.around.now(), self.wall))

    # packets -----------------------------------------------------------------

    def arrive(self, message: Message, source: Endpoint) -> None:
        """A packet came to the anycast address here."""
        if not self.alive:
            return
        now = self.around.now()
        if isinstance(message, Data):
            to = self.path.data(message.receiver, source, now)
            if isinstance(to, IPv4Address):
                self.around.relay(to, source, message)
            elif to == "here":
                self._receive(message, source)
        else:
            if isinstance(message, Response):
                self.path.answer(message.receiver, source, now)
            self._receive(message, source)
        self._packet_events()

    def relayed(self, message: Data, source: Endpoint) -> None:
        if self.alive and self.path.relayed(message.receiver):
            self._receive(message, source)

    def _receive(self, message: Message, source: Endpoint) -> None:
        self.wireguard.receive(message, source, self.around.now(), self.wall)

    def _send(self, endpoint: Endpoint, message: Message) -> None:
        if isinstance(message, Initiation):
            self.path.learn(message.sender, endpoint)
        elif isinstance(message, Response):
            self.path.learn(message.keys.node_index, endpoint)
        self.around.to_client(endpoint, message)

    def _packet_events(self) -> None:
        for event in self.path.drain():
            if event.kind is EventKind.FOREIGN:
                self.foreign[event.endpoint] = event.at
            self.carry(self.takeover.packet(event, self.around.now(), self.wall))

    # time ----------------------------------------------------------------------

    def tick(self) -> None:
        if self.alive:
            self.wireguard.tick(self.around.now(), self.wall)

    def sample(self) -> None:
        if not self.alive:
            return
        self.publish(self.sessions.sampled(self.wireguard.sample(), self.wall))
        for client in self.sessions.resets_due(self.wall):
            self._reset(client)

    def _reset(self, client: Client) -> None:
        for credential in client.credentials:
            self.wireguard.reset(credential.public_key)
            self.publish(self.sessions.restarted([credential.public_key]))

    def _wake(self, agent: Takeover) -> None:
        if self.alive and self.takeover is agent:
            self._wake_at = None
            self.carry(self.takeover.tick(self.around.now(), self.wall))

    # BGP -------------------------------------------------------------------------

    def others(self, prefix: Network) -> Sequence[ClientRoute]:
        """As the daemon tells it: another node's route, when it is the best of all."""
        known = [heard[prefix] for heard in self.heard.values() if prefix in heard]
        best = max(known, key=lambda route: route.confirmed_at, default=None)
        own = self.routes.get(prefix)
        if best is None or (own is not None and own.confirmed_at >= best.confirmed_at):
            return []
        return [best]

    def hear(self, peer: IPv4Address, routes: Mapping[Network, ClientRoute | None]) -> None:
        if not self.alive:
            return
        known = self.heard.setdefault(peer, {})
        for prefix, route in routes.items():
            if route is None:
                known.pop(prefix, None)
            else:
                known[prefix] = route
        self.look_at_routes(routes)

    def unhear(self, peer: IPv4Address) -> None:
        """The BGP session with this node is down."""
        gone = self.heard.pop(peer, {})
        if self.alive:
            self.look_at_routes(gone)

    def look_at_routes(self, networks: Iterable[Network]) -> None:
        for prefix in networks:
            best = next(iter(self.others(prefix)), None)
            if self.told.get(prefix) != best:
                self.told[prefix] = best
                now, wall = self.around.now(), self.wall
                self.carry(self.takeover.route(prefix, best, now, wall))
                self.publish(self.sessions.learned(prefix, wall))

    def publish(self, outcome: Outcome) -> None:
        """As the agent's loop does: BGP first, then the takeover."""
        for prefix in outcome.withdraw:
            self.routes.pop(prefix, None)
            self.around.tell(prefix, None)
        for route in outcome.announce:
            self.routes[route.prefix] = route
            self.around.tell(route.prefix, route)
        now, wall = self.around.now(), self.wall
        for owned, moved in outcome.lost:
            self.carry(self.takeover.lost(owned.client.id, now, wall, moved=moved))
        for owned in outcome.confirmed:
            session = owned.client.id, owned.endpoint, owned.confirmed_at
            self.carry(self.takeover.confirmed(*session, now, wall))
        self.look_at_routes([*outcome.withdraw, *(route.prefix for route in outcome.announce)])

    def announcers(self, others: Mapping[IPv4Address, bool], peers: Sequence[Peer]) -> None:
        plan = self.takeover.announcers(
            others,
            own=self.announced,
            peers=peers,
            datacentre=self.datacentre,
            now=self.around.now(),
            wall=self.wall,
        )
        self.carry(plan)

    # plans -------------------------------------------------------------------------

    def carry(self, plan: Plan) -> None:
        """Do what the takeover asks for, in its order."""
        now = self.around.now()
        self.path.forget(plan.forget)
        for client in plan.reset:
            self._reset(client)
        for client, credential, endpoint, anew in plan.initiate:
            if anew:
                self.publish(self.sessions.restarted([credential.public_key]))
            before = self.wireguard.initiated
            self.wireguard.initiate(credential.public_key, endpoint, now, self.wall, anew)
            sent = self.wireguard.initiated > before
            whose = self.takeover, self.life
            what = Initiated(now, self.name, client.id, endpoint, *whose, sent)
            self.around.initiated(what)
        self.path.remove_relays(plan.remove_relays)
        self.path.put_relays(plan.put_relays)
        if plan.sample:
            self.around.later(HINTED, self.sample)
        at = self.takeover.next_tick()
        if at is not None and (self._wake_at is None or at < self._wake_at):
            self._wake_at = at
            agent = self.takeover
            self.around.later(max(0.0, at - now), lambda: self._wake(agent))


def key_of(client: Client) -> Key:
    return client.credentials[0].public_key
