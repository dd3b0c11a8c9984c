"""The agent's BGP speaker: what the agent's loop talks to.

Two iBGP sessions to the node's own daemon, which reflects them (RFC 4456):

* `client` carries client routes, with graceful restart (RFC 4724): when the agent
  restarts, the daemon keeps them until the new process has announced what it found
  in WireGuard and called `clients_complete()`, or for RESTART_TIME.
* `anycast` carries the anycast prefixes, the pools and this node's beacon, without
  graceful restart: when the agent dies, its TCP connection ends and the daemon
  withdraws the node at once. A hung agent is found out by the hold time.

Everything here runs in the event loop's thread. Callbacks are called in it, too, once
for each change, after the change is visible.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
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
COMPLETE_TIMEOUT = 30.0
"""Seconds after which End-of-RIB is sent although `clients_complete` was not called."""
CLIENT_HOLD_TIME = 30
ANYCAST_HOLD_TIME = 3
"""Seconds. 3 is the least that BGP allows: a hung agent is out of service after it."""
BATCH = 256
"""Prefixes that are encoded in one go, before others get the event loop."""
FAMILIES = (Afi.IPV4, Afi.IPV6)


class Speaker:
    """The node's side of BGP. See the contract of each method; none blocks, none raises."""

    def __init__(
        self,
        spec: NodeSpec,
        on_client_route: Callable[[Network], None],
        on_announcers: Callable[[], None],
        *,
        port: int = 179,
    ) -> None:
        self._client = _ClientSide(spec, on_client_route, port)
        self._anycast = _AnycastSide(spec, on_announcers, port)
        self._stopped = asyncio.Event()

    async def run(self) -> None:
        """Keep both sessions up until `stop()` was called or this is cancelled."""
        self._client.session.start()
        self._anycast.session.start()
        timer = asyncio.get_running_loop().call_later(COMPLETE_TIMEOUT, self._client.complete)
        try:
            await self._stopped.wait()
        finally:
            timer.cancel()
            self._end()

    async def stop(self) -> None:
        """Withdraw the anycast routes, then leave; the daemon keeps the client routes."""
        self.withdraw_anycast()
        # One turn of the loop and a little more, for the withdrawal to be written.
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._anycast.sent(), 0.2)
        self._end()
        await asyncio.sleep(0)
        self._stopped.set()

    def _end(self) -> None:
        self._anycast.session.stop(notify=True)
        self._client.session.stop(notify=False)

    def announce_clients(self, announced: Iterable[ClientRoute]) -> None:
        """This node holds these clients' newest sessions. Known and unchanged: nothing is sent."""
        for route in announced:
            self._client.out.announce(route.prefix, route)
        self._client.session.wake()

    def withdraw_clients(self, prefixes: Iterable[Network]) -> None:
        """This node no longer holds these clients' sessions. Unknown prefixes are fine."""
        for prefix in prefixes:
            self._client.out.withdraw(prefix)
        self._client.session.wake()

    def clients_complete(self) -> None:
        """All sessions that survived the agent's restart have been announced now."""
        self._client.complete()

    def announce_anycast(self, demoted: bool) -> None:
        """Take part in the service; demoted: as the last choice."""
        self._anycast.announce(demoted=demoted)

    def withdraw_anycast(self) -> None:
        """Leave the service."""
        self._anycast.withdraw()

    @property
    def announcing(self) -> bool:
        """Is the daemon told to announce the anycast prefixes, over a session that is up?"""
        return self._anycast.announcing and self._anycast.session.established

    def others(self, prefix: Network) -> list[ClientRoute]:
        """Sessions that other nodes hold with the client, newest first.

        The daemon tells its best route only: none when this node's own is the newest,
        so there is one entry at most.
        """
        route = self._client.heard.get(prefix)
        return [] if route is None else [route]

    def learned(self) -> list[ClientRoute]:
        """All client routes of other nodes."""
        return [route for _, route in self._client.heard.items()]

    def announcers(self) -> dict[IPv4Address, bool]:
        """Other nodes that announce the anycast prefixes, by IPv4 loopback -> demoted?"""
        return dict(route for _, route in self._anycast.heard.items())

    @property
    def announcers_known(self) -> bool:
        """Has the daemon told all announcers since the session came up?"""
        return self._anycast.complete

    @property
    def established(self) -> dict[str, bool]:
        """Session name (`client`, `anycast`) -> is it up?"""
        return {
            "client": self._client.session.established,
            "anycast": self._anycast.session.established,
        }


class _ClientSide:
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


class _AnycastSide:
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
