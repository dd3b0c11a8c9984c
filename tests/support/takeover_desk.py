"""One node's takeover, told what happens by hand. Seconds since the start; what it asks for
is gathered in `plan` until it is taken."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.takeover.machine import ATTEMPTS, INTERVAL
from anycastle.agent.takeover.path import EventKind, PacketEvent
from anycastle.agent.takeover.plan import Plan
from anycastle.agent.takeover.takeover import Takeover
from anycastle.model.addresses import Endpoint
from anycastle.model.node import Loopbacks, Peer
from tests.support.simulated_cluster import client

EPOCH = 1_800_000_000.0
OWN, OTHER, THIRD = (IPv4Address(f"10.64.0.{number}") for number in (1, 2, 3))
HOME = Endpoint(ip_address("203.0.113.1"), 4000)
CAFE = Endpoint(ip_address("203.0.113.9"), 5000)
ONCE, ANEW = [("client1", HOME, False)], [("client1", HOME, True)]
"""What `Desk.initiated` says of one initiation to client 1."""
MOMENT = 0.001
PEERS = [
    Peer(name=f"n{n}", datacentre=place, loopbacks=Loopbacks(owner, IPv6Address(f"fd00:64::{n}")))
    for n, place, owner in ((2, "ams", OTHER), (3, "ams", THIRD))
]


class Desk:
    """clients: enrolled, numbered from 1. The clock is right, and shows EPOCH at 0."""

    def __init__(self, clients: int = 2, backlog: int = 100) -> None:
        self.now, self.offset = 0.0, 0.0
        self.plan = Plan()
        self.core = Takeover(OWN, backlog)
        self.enrolled = {number: client(number) for number in range(1, clients + 1)}
        self.tell(lambda *t: self.core.replace_clients(self.enrolled.values(), *t))
        self.clock("")

    def tell(self, call: Callable[[float, float], Plan]) -> None:
        self.plan.merge(call(self.now, EPOCH + self.now + self.offset))

    def take(self) -> Plan:
        """What was asked for since this was last called."""
        plan, self.plan = self.plan, Plan()
        return plan

    def wait(self, until: float) -> None:
        """Let time pass, waking the core when it wants to be woken."""
        while (at := self.core.next_tick()) is not None and at <= until:
            self.now = max(self.now, at)
            self.tell(self.core.tick)
        self.now = until

    def route(
        self,
        owner: IPv4Address | None,
        endpoint: Endpoint = HOME,
        at: float | None = None,
        number: int = 1,
    ) -> None:
        """What BGP says of the client; owner None: no more routes. at: confirmed."""
        for address in self.enrolled[number].addresses:
            prefix = ip_network(address)
            since = EPOCH + (self.now - 0.5 if at is None else at)
            route = ClientRoute(prefix, endpoint, since, owner) if owner else None
            self.tell(lambda *t, p=prefix, r=route: self.core.route(p, r, *t))

    def packet(self, endpoint: Endpoint = HOME, kind: EventKind = EventKind.FOREIGN) -> None:
        event = PacketEvent(kind, endpoint, self.now)
        self.tell(lambda *t: self.core.packet(event, *t))

    def packets(self, until: float, endpoint: Endpoint = HOME) -> None:
        """One a second: as often as the packet path reports a client that talks."""
        while self.now < until:
            self.packet(endpoint)
            self.wait(min(self.now + 1.0, until))

    def confirmed(self, endpoint: Endpoint = HOME, number: int = 1) -> None:
        client_id, since = self.enrolled[number].id, EPOCH + self.now
        self.tell(lambda *t: self.core.confirmed(client_id, endpoint, since, *t))

    def lost(self, *, moved: bool, number: int = 1) -> None:
        self.tell(lambda *t: self.core.lost(self.enrolled[number].id, *t, moved=moved))

    def clock(self, complaint: str) -> None:
        self.tell(lambda *t: self.core.clock(complaint, *t))

    def announcers(self, *others: IPv4Address, own: bool = True, demoted: bool = False) -> None:
        known = dict.fromkeys(others, demoted)
        self.tell(
            lambda now, wall: self.core.announcers(
                known, own=own, peers=PEERS, datacentre="ams", now=now, wall=wall
            )
        )

    @property
    def initiated(self) -> list[tuple[str, Endpoint, bool]]:
        """(client, endpoint, anew) of what was asked for; they are taken."""
        return [(i.client.name, i.endpoint, i.anew) for i in self.take().initiate]


def owned_by_other() -> Desk:
    """Client 1 is at HOME, with the node OTHER."""
    desk = Desk()
    desk.now = 10.0
    desk.route(OTHER)
    desk.take()
    return desk


def exhausted(desk: Desk) -> None:
    """Let all attempts fail, with the client talking."""
    desk.packets(desk.now + ATTEMPTS * INTERVAL)


def took_over() -> Desk:
    """Client 1 was with OTHER, sent a packet here, and is confirmed here."""
    desk = owned_by_other()
    desk.packet()
    desk.now += 0.05
    desk.confirmed()
    desk.route(None)  # this node's own route is the best now
    desk.take()
    return desk


def lost_to_other() -> Desk:
    """The same client, which OTHER has won back since."""
    desk = took_over()
    desk.now += 60.0
    desk.tell(desk.core.tick)
    desk.route(OTHER, at=desk.now)
    desk.lost(moved=True)
    return desk
