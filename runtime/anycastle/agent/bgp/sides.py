"""The two sessions of a speaker: what each announces, and what it makes of what it hears.

Each is the `Routes` of a session. No I/O but logging; the sockets are session.py's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Address

import structlog

from anycastle.agent.bgp import routes
from anycastle.agent.bgp.attributes import PathAttributes
from anycastle.agent.bgp.capabilities import Capabilities, GracefulRestart
from anycastle.agent.bgp.fsm import Parameters
from anycastle.agent.bgp.messages import Open, Update
from anycastle.agent.bgp.ribs import Incoming, Outgoing
from anycastle.agent.bgp.routes import BadRoute, ClientRoute
from anycastle.agent.bgp.session import Addresses, Session
from anycastle.agent.bgp.wire import Afi
from anycastle.agent.routing.plan import AGENT_ANYCAST, AGENT_CLIENT, beacon
from anycastle.model.addresses import Network
from anycastle.model.node import NodeSpec

log = structlog.get_logger("bgp")

RESTART_TIME = 120
"""Seconds that the daemon keeps client routes without an agent (RFC 4724 3)."""
CLIENT_HOLD_TIME = 30
ANYCAST_HOLD_TIME = 3
"""Seconds. 3 is the least that BGP allows: a hung agent is out of service after it."""
BATCH = 256
"""Prefixes that are encoded in one go, before others get the event loop."""
FAMILIES = (Afi.IPV4, Afi.IPV6)


class ClientSide:
    """The client session: what it announces and has heard."""

    def __init__(self, spec: NodeSpec, report: Callable[[Network], None], port: int) -> None:
        self._asn = spec.asn
        self._own = spec.loopbacks.v4
        self._report = report
        self._completed = False
        self.out: Outgoing[ClientRoute] = Outgoing(
            lambda route: routes.client_attributes(spec, route)
        )
        self.heard: Incoming[ClientRoute] = Incoming()
        restart = GracefulRestart(RESTART_TIME, restarting=True, families=FAMILIES)
        self.session = Session(
            "client",
            Parameters(
                asn=spec.asn,
                identifier=_identifier(spec, 1),
                hold_time=CLIENT_HOLD_TIME,
                capabilities=Capabilities(spec.asn, FAMILIES, True, restart),
            ),
            Addresses(str(AGENT_CLIENT), str(spec.loopbacks.v4), port),
            self,
        )

    def complete(self) -> None:
        if not self._completed:
            self._completed = True
            self.out.end()
            self.session.wake()

    def pull(self) -> list[bytes]:
        return self.out.take(BATCH)

    def up(self, neighbour: Open) -> None:
        self.heard.restart()
        self.out.restart()
        if self._completed:
            self.out.end()
        if neighbour.capabilities.graceful_restart is None:
            log.warning("the daemon does not do graceful restart", session="client")

    def down(self, reason: str) -> None:
        """Nothing: what was heard stays, as the best that is known."""

    def resend(self, afi: Afi) -> None:
        self.out.resend(afi)

    def update(self, update: Update) -> None:
        _complain("client", update)
        for prefix in update.withdrawn:
            self._forget(prefix)
        if update.attributes is not None:
            for prefix in update.announced:
                self._learn(prefix, update.attributes)
        if update.end_of_rib is not None:
            for prefix in self.heard.sweep(update.end_of_rib):
                self._report(prefix)

    def _learn(self, prefix: Network, attributes: PathAttributes) -> None:
        try:
            route = routes.client_route(self._asn, prefix, attributes)
        except BadRoute as error:
            log.warning("another node's route is unusable", error=str(error))
            self._forget(prefix)
            return
        if route.owner == self._own:  # FRR reflects to the sender, too (RFC 4456 8)
            self._forget(prefix)
        elif self.heard.put(prefix, route):
            self._report(prefix)

    def _forget(self, prefix: Network) -> None:
        if self.heard.remove(prefix):
            self._report(prefix)


class AnycastSide:
    """The anycast session: prefixes, pools and beacons."""

    def __init__(self, spec: NodeSpec, report: Callable[[], None], port: int) -> None:
        self._spec = spec
        self._report = report
        self._own_beacon = beacon(spec.loopbacks.v4)
        self._written = asyncio.Event()
        self.announcing = False
        self.complete = False
        self.out: Outgoing[PathAttributes] = Outgoing(lambda attributes: attributes)
        self.heard: Incoming[tuple[IPv4Address, bool]] = Incoming()
        self.session = Session(
            "anycast",
            Parameters(
                asn=spec.asn,
                identifier=_identifier(spec, 2),
                hold_time=ANYCAST_HOLD_TIME,
                # Without a family it preserves nothing, but End-of-RIB is sent to us.
                capabilities=Capabilities(spec.asn, FAMILIES, True, GracefulRestart(0)),
            ),
            Addresses(str(AGENT_ANYCAST), str(spec.loopbacks.v4), port),
            self,
        )

    def announce(self, *, demoted: bool) -> None:
        self.announcing = True
        for prefix, attributes in routes.anycast_routes(self._spec, demoted).items():
            self.out.announce(prefix, attributes)
        self.session.wake()

    def withdraw(self) -> None:
        self.announcing = False
        for prefix in routes.anycast_routes(self._spec, demoted=False):
            self.out.withdraw(prefix)
        self._written.clear()
        self.session.wake()

    async def sent(self) -> None:
        """Until everything was handed to the socket."""
        if self.session.established and not self.out.idle:
            await self._written.wait()

    def pull(self) -> list[bytes]:
        batch = self.out.take(BATCH)
        if self.out.idle:
            self._written.set()
        return batch

    def up(self, neighbour: Open) -> None:
        del neighbour
        self.out.restart()
        self.out.end()

    def down(self, reason: str) -> None:
        """Who announces is unknown now: better nobody than somebody who is gone."""
        del reason
        self.complete = False
        self.heard = Incoming()
        self._report()

    def resend(self, afi: Afi) -> None:
        self.out.resend(afi)

    def update(self, update: Update) -> None:
        _complain("anycast", update)
        news = [self.heard.remove(prefix) for prefix in update.withdrawn]
        if update.attributes is not None:
            news += [self._learn(prefix, update.attributes) for prefix in update.announced]
        if update.end_of_rib is Afi.IPV6:  # beacons are IPv6
            news.append(not self.complete)
            self.complete = True
        if any(news):
            self._report()

    def _learn(self, prefix: Network, attributes: PathAttributes) -> bool:
        if prefix == self._own_beacon:
            return False
        try:
            return self.heard.put(prefix, routes.announcer(prefix, attributes))
        except BadRoute as error:
            log.warning("another node's beacon is unusable", error=str(error))
            return self.heard.remove(prefix)


def _identifier(spec: NodeSpec, session: int) -> IPv4Address:
    """BGP identifier of a session: 1.x.y.z or 2.x.y.z from the loopback's low 24 bits.

    It has to differ from the daemon's and, as ORIGINATOR_ID, from every other agent's
    (RFC 6286 2.1); a deployment's loopbacks come from one network of /8 at most.
    """
    return IPv4Address(session << 24 | int(spec.loopbacks.v4) & 0xFFFFFF)


def _complain(session: str, update: Update) -> None:
    if update.problems:
        log.warning(
            "the daemon sent a malformed UPDATE; its prefixes count as withdrawn",
            session=session,
            problems=update.problems,
            prefixes=[str(prefix) for prefix in update.withdrawn[:10]],
        )
