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

from anycastle.agent.bgp.routes import ClientRoute
from anycastle.agent.bgp.sides import RESTART_TIME, AnycastSide, ClientSide
from anycastle.model.addresses import Network
from anycastle.model.node import NodeSpec

__all__ = ["RESTART_TIME", "ClientRoute", "Speaker"]

COMPLETE_TIMEOUT = 30.0
"""Seconds after which End-of-RIB is sent although `clients_complete` was not called."""


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
        self._client = ClientSide(spec, on_client_route, port)
        self._anycast = AnycastSide(spec, on_announcers, port)
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
            async with asyncio.timeout(0.2):
                await self._anycast.sent()
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
