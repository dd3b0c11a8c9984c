"""Takeover of clients whose packets come here: everything put together. No I/O.

Told what happens, it answers with what has to be done (`plan.Plan`). The table says who
owns whom, a machine per client what state its takeover is in, the pacer whose turn it is.

    packet path ─ FOREIGN ─► client? ─► machine ─► pacer ─► initiate
    BGP ─ routes ──────────► table ───► relays             (moved: end of a takeover)
    sessions ─ confirmed ──► table, machine; relays of the client go after KEEP

No initiation leaves

- without a data packet of that client from that endpoint, FRESH at most (the one
  exception: `succession`);
- to an endpoint that is not in the table, or that is another client's by now;
- within 5 s of the last one to that client;
- to a client whose session is here;
- while this node's clock is bad, or behind the clock of the client's owner (`clock`);
- faster than WireGuard can take the answers (`pacer`).

Whether this node announces does not matter: packets may come all the same.

Times: `now` is monotonic, `wall` epoch seconds, the same moment on both clocks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import IPv4Address

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.takeover import succession
from anycastle.agent.takeover.cases import Cases
from anycastle.agent.takeover.clock import behind
from anycastle.agent.takeover.machine import FRESH, What
from anycastle.agent.takeover.orphans import Orphans
from anycastle.agent.takeover.path import EventKind, PacketEvent
from anycastle.agent.takeover.plan import Counts, Plan
from anycastle.agent.takeover.table import HOLD, KEEP, Claim, Row, Table
from anycastle.agent.takeover.timers import Timers
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.client import Client
from anycastle.model.node import Peer
from anycastle.model.status import Event

FORGET = 3.0
"""Seconds after a loss at which own indices end; the sessions' GRACE is over by then."""
CATCH_UP = 1.0
"""Seconds for which a client waits until this node's clock has passed its owner's."""
ADOPT_AFTER = 1.0
"""Seconds from a node's leaving until its silent clients are initiated to. This node hears
of it as soon as the edge routers do. Before they send those clients' packets here, answers
to an initiation go to the node that left, and the next one may follow INTERVAL later only:
a client that talks would pay 5 s for it. It talks, so it needs no adoption."""
NOT_LOOKED_AT = "the clock has not been looked at yet"

Wake = Callable[[float, float, Plan], None]
Before = tuple[Claim | None, float | None]
"""A row's claim and vanished_at."""


class Takeover:
    """One node's. own: its IPv4 loopback. backlog: see `pacer.BACKLOG`.

    Nothing is initiated before `clock` has been told that it is right. Of one turn of the
    loop the plans may be merged; between turns they must have been handed over.
    """

    def __init__(self, own: IPv4Address, backlog: int) -> None:
        self.table = Table(own)
        self._cases = Cases(self.table, backlog)
        self._timers: Timers[Wake] = Timers()
        self._clock = NOT_LOOKED_AT
        self._announcers: frozenset[IPv4Address] = frozenset()
        self._heir_of: frozenset[IPv4Address] = frozenset()
        self._orphans = Orphans(self.table)
        self._ignored = {"stray": 0, "owned": 0, "clock": 0}

    # clients -----------------------------------------------------------------

    def clients(
        self, put: Iterable[Client], remove: Iterable[str], now: float, wall: float
    ) -> Plan:
        """Clients that are new or changed, and ids of those that are no longer enrolled."""
        for client_id in remove:
            self.table.remove(client_id)
            self._cases.drop(client_id)
        for client in put:
            known = self.table.get(client.id)
            if self.table.put(client, now) is not known:
                self._cases.drop(client.id)
        return self._end(Plan(), now, wall)

    def replace_clients(self, clients: Iterable[Client], now: float, wall: float) -> Plan:
        """The whole set of clients, from a snapshot."""
        wanted = {client.id: client for client in clients}
        gone = [row.client.id for row in self.table if row.client.id not in wanted]
        return self.clients(wanted.values(), gone, now, wall)

    # what other nodes say ------------------------------------------------------

    def route(self, prefix: Network, route: ClientRoute | None, now: float, wall: float) -> Plan:
        """Another node's best route to a client's address came, changed or (None) went.

        To be told before the `lost` that follows from it.
        """
        plan = Plan()
        address = prefix.network_address
        row = self.table.of(address)
        before: Before = (row.claim, row.vanished_at) if row else (None, None)
        claim = None
        if route is not None and route.owner is not None:
            claim = Claim(route.owner, route.endpoint, route.confirmed_at)
        self.table.hear(address, claim, now)
        if row is not None and row.own is None:
            self._changed(row, before, now, wall, plan)
        return self._end(plan, now, wall)

    def announcers(
        self,
        announcers: Mapping[IPv4Address, bool],
        *,
        own: bool,
        peers: Iterable[Peer],
        datacentre: str,
        now: float,
        wall: float,
    ) -> Plan:
        """Who else announces; for the arguments see `succession.heir_of`."""
        plan = Plan()
        heir_of = succession.heir_of(announcers, own=own, peers=peers, datacentre=datacentre)
        # Only when somebody has just left, then for all of them: while another one was
        # here, nobody was the known successor of those who left before.
        just_left = not heir_of.isdisjoint(self._announcers)
        self._announcers, self._heir_of = frozenset(announcers), heir_of
        self._cases.keep_adopted(heir_of, now, wall, plan)
        if just_left:
            self._timers.push(now + ADOPT_AFTER, self._adopt)
        return self._end(plan, now, wall)

    # what happens here ---------------------------------------------------------

    def packet(self, event: PacketEvent, now: float, wall: float) -> Plan:
        """The packet path reported something."""
        plan = Plan(sample=event.kind is not EventKind.FOREIGN)
        if event.kind is EventKind.FOREIGN:
            self._foreign(event, now, wall, plan)
        elif (row := self.table.at(event.endpoint)) is not None:
            self._cases.answered(row.client.id)
        return self._end(plan, now, wall)

    def confirmed(
        self, client_id: str, endpoint: Endpoint, confirmed_at: float, now: float, wall: float
    ) -> Plan:
        """This node owns the client now (a new handshake and bytes), or its endpoint
        changed. confirmed_at: epoch seconds, as it is announced."""
        plan = Plan()
        row = self.table.get(client_id)
        if row is not None:
            new = row.own is None
            if new:
                self._cases.tell(row, What.OWNED, now, wall, plan)
            self.table.own(row, endpoint, confirmed_at)
            if new and row.keep:
                keep = row.keeps
                self._timers.push(now + KEEP, lambda *_: self._end_keep(row, keep))
        self._orphans.claimed(endpoint, plan)
        return self._end(plan, now, wall)

    def lost(self, client_id: str, now: float, wall: float, *, moved: bool) -> Plan:
        """This node no longer owns the client. moved: another node won it; else the
        session expired, or its keys are gone with the device or the peer."""
        plan = Plan()
        row = self.table.get(client_id)
        if row is None or row.own is None:
            return plan
        endpoints = {row.own.endpoint, *row.left}
        self.table.disown(row, now)
        self._hold(row, now)
        self._cases.tell(row, What.LOST if moved else What.ENDED, now, wall, plan)
        if moved:
            # Packets under the old key may still be on their way, and are decrypted.
            self._timers.push(now + FORGET, lambda _n, _w, p: self._forget(row, endpoints, p))
        else:
            self._forget(row, endpoints, plan)
        return self._end(plan, now, wall)

    def clock(self, complaint: str, now: float, wall: float) -> Plan:
        """What `clock.complaint` says; "" when this node may initiate."""
        plan = Plan()
        expected = not complaint and self._clock == NOT_LOOKED_AT
        if bool(complaint) != bool(self._clock) and not expected:
            message = complaint or "the clock is right"
            data = {"initiates": not complaint}
            plan.events.append(Event(kind="node.clock", at=wall, message=message, data=data))
        self._clock = complaint
        if complaint:
            self._cases.stop_waiting(now, wall, plan)
        return self._end(plan, now, wall)

    def tick(self, now: float, wall: float) -> Plan:
        """Time has passed: to be called at `next_tick` or soon after."""
        plan = Plan()
        for wake in self._timers.due(now):
            wake(now, wall, plan)
        self._cases.tick(now, wall, plan)
        self._orphans.tick(now, plan)
        return self._end(plan, now, wall)

    def next_tick(self) -> float | None:
        """Monotonic time; None: nothing to do until something happens."""
        times = (self._timers.next(), self._cases.next_tick(), self._orphans.next_tick())
        return min((time for time in times if time is not None), default=None)

    def resync(
        self, existing: Mapping[Endpoint, IPv4Address | None], now: float, wall: float
    ) -> Plan:
        """The packet path holds `existing`: bring it in line. At an agent's start, and as
        often as one likes.

        What this node's clients use goes at once: relaying their packets would lose them.
        That is true of those that were just taken over, too: the packet path may be a new
        one, and not know the indices of their sessions. What nobody knows may be known a
        moment later, when BGP has told everything.
        """
        self.table.end_keeps()
        plan = self._end(Plan(), now, wall)
        self._orphans.found(existing, now, plan)
        return plan

    def counts(self) -> Counts:
        """For metrics."""
        return self._cases.counts(self.table.endpoints, dict(self._ignored))

    # inside ----------------------------------------------------------------------

    def _foreign(self, event: PacketEvent, now: float, wall: float, plan: Plan) -> None:
        row = self.table.at(event.endpoint)
        if row is None or row.claim is None or now - event.at > FRESH:
            self._ignored["stray"] += 1
        elif row.own is not None:
            self._ignored["owned"] += 1
        elif self._clock or behind(wall, row.claim.confirmed_at) > CATCH_UP:
            self._ignored["clock"] += 1
        else:
            self._cases.tell(row, What.PACKET, min(event.at, now), wall, plan)

    def _adopt(self, now: float, wall: float, plan: Plan) -> None:
        """The clients of nodes that left and whose one known successor this node still is."""
        for row in self.table if self._heir_of and not self._clock else ():
            if row.own is None and row.claim is not None and row.claim.owner in self._heir_of:
                self._cases.tell(row, What.ADOPT, now, wall, plan)

    def _changed(self, row: Row, before: Before, now: float, wall: float, plan: Plan) -> None:
        """The row may not be what it was."""
        claim, vanished_at = before
        if claim is not None and row.claim != claim:
            self._cases.tell(row, What.MOVED, now, wall, plan)
        if row.vanished_at is not None and vanished_at is None:
            self._hold(row, now)
            self._cases.tell(row, What.VANISHED, now, wall, plan)

    def _end_keep(self, row: Row, keep: int) -> None:
        if row.keeps == keep:
            self.table.end_keep(row)

    def _hold(self, row: Row, now: float) -> None:
        if row.vanished_at is not None:
            self._timers.push(now + HOLD, lambda n, w, p: self._expire(row, n, w, p))

    def _expire(self, row: Row, now: float, wall: float, plan: Plan) -> None:
        before = row.claim, row.vanished_at
        self.table.expire(row, now)
        self._changed(row, before, now, wall, plan)

    def _forget(self, row: Row, endpoints: Iterable[Endpoint], plan: Plan) -> None:
        """Own indices of a session that ended, unless a newer one runs at that endpoint."""
        if row.own is None and not self._cases.busy(row.client.id):
            owners = ((endpoint, self.table.at(endpoint)) for endpoint in endpoints)
            plan.forget |= {at for at, other in owners if other is None or other.own is None}

    def _end(self, plan: Plan, now: float, wall: float) -> Plan:
        """Whose turn has come is initiated to; what changed in the table goes along."""
        self._cases.release(now, wall, plan)
        put, remove = self.table.changes()
        self._orphans.known(put)
        plan.put_relays |= put
        plan.remove_relays |= remove
        return plan
