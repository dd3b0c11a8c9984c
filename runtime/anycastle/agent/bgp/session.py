"""One BGP session over TCP: the socket and the timers around fsm.step. I/O.

    fsm.step --Connect, Send, Close, Timers--> here --Connected, Received, ...--> fsm.step

What is to be sent is pulled, not pushed: `pull` is asked for more bytes only while
the socket takes them, so a slow daemon makes nothing pile up here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, cast

import structlog

from anycastle.agent.bgp import events, messages
from anycastle.agent.bgp.events import Action, Event
from anycastle.agent.bgp.fsm import Parameters, Phase, State, step
from anycastle.agent.bgp.wire import Afi, BgpError

log = structlog.get_logger("bgp")

CONNECT_TIMEOUT = 2.0
"""Seconds; the daemon is on this host, so no answer means that it hangs."""
LINGER = 1.0
"""Seconds that last words may take."""
LATE = 0.5
"""Seconds by which a timer may be late before we suspect that we were the ones asleep."""


class Routes(Protocol):
    """What a session asks the speaker and tells it. Called in the event loop."""

    def pull(self) -> list[bytes]:
        """Messages to send next; empty when there is nothing."""

    def up(self, neighbour: messages.Open) -> None: ...

    def down(self, reason: str) -> None: ...

    def update(self, update: messages.Update) -> None: ...

    def resend(self, afi: Afi) -> None: ...


@dataclass(frozen=True, slots=True)
class Addresses:
    """local: source address of ours. remote, port: where the daemon listens."""

    local: str
    remote: str
    port: int = 179


class Session(asyncio.Protocol):
    """Keeps one session established for as long as it runs."""

    def __init__(
        self, name: str, parameters: Parameters, addresses: Addresses, routes: Routes
    ) -> None:
        self._name = name
        self._parameters = parameters
        self._addresses = addresses
        self._routes = routes
        self._state = State()
        self._transport: asyncio.Transport | None = None
        self._decoder = messages.Decoder()
        self._writable = True
        self._pumping = False
        self._heard_at = 0.0
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._connecting: asyncio.Task[None] | None = None
        self._complaint = ""

    @property
    def established(self) -> bool:
        return self._state.phase is Phase.ESTABLISHED

    def start(self) -> None:
        """Connect, and again whenever the session ends. Needs the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._handle(events.Start())

    def stop(self, *, notify: bool) -> None:
        """End for good. notify: with a NOTIFICATION, which makes the daemon forget our routes."""
        self._handle(events.Stop(notify=notify))

    def wake(self) -> None:
        """There may be something to send."""
        if self.established and self._writable and not self._pumping:
            self._pumping = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Send one batch, then let others run."""
        self._pumping = False
        if not self.established or not self._writable or self._transport is None:
            return
        if batch := self._routes.pull():
            self._transport.write(b"".join(batch))
            self.wake()

    # What asyncio reports.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._state.phase is not Phase.CONNECT:  # stopped meanwhile
            transport.close()
            return
        self._transport = cast(asyncio.Transport, transport)
        self._decoder = messages.Decoder()
        self._writable = True
        self._heard_at = self._loop.time()
        self._handle(events.Connected())

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            for message in self._decoder.feed(data):
                self._handle(events.Received(message))
                if self._transport is None:
                    return
        except BgpError as error:
            self._handle(events.Broken(error))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            self._transport = None
            self._handle(
                events.Ended(f"the daemon ended the connection{f': {exc}' if exc else ''}")
            )

    def pause_writing(self) -> None:
        self._writable = False

    def resume_writing(self) -> None:
        self._writable = True
        self.wake()

    # What fsm.step wants done.

    def _handle(self, event: Event) -> None:
        self._state, actions = step(self._parameters, self._state, event)
        for action in actions:
            self._act(action)

    def _act(self, action: Action) -> None:
        match action:
            case events.Connect():
                self._connecting = self._loop.create_task(self._connect())
            case events.Send(message):
                self._send(messages.encode(message))
            case events.Close():
                self._close()
            case events.Retry(after):
                self._call("retry", after, lambda: self._handle(events.RetryDue()))
            case events.Timers(hold, keepalive):
                self._set_timers(hold, keepalive)
            case events.Deliver(update):
                self._routes.update(update)
            case events.Resend(afi):
                self._routes.resend(afi)
                self.wake()
            case events.Up(neighbour):
                self._complaint = ""
                log.info("session up", session=self._name, neighbour=str(neighbour.identifier))
                self._routes.up(neighbour)
                self.wake()
            case events.Down(reason, was_up):
                self._down(reason, was_up)

    def _down(self, reason: str, was_up: bool) -> None:
        if was_up or reason != self._complaint:  # each reason once, not at every attempt
            self._complaint = reason
            log.warning("session down", session=self._name, reason=reason, was_up=was_up)
        if was_up:
            self._routes.down(reason)

    async def _connect(self) -> None:
        addresses = self._addresses
        attempt = self._loop.create_connection(
            lambda: self,
            addresses.remote,
            addresses.port,
            local_addr=(addresses.local, 0),
        )
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                await attempt
        except OSError as error:  # TimeoutError is one, too
            reason = (
                f"no connection to {addresses.remote}:{addresses.port}: {str(error) or 'time-out'}"
            )
            self._handle(events.ConnectFailed(reason))

    def _send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def _close(self) -> None:
        transport, self._transport = self._transport, None
        for timer in self._timers.values():
            timer.cancel()
        if self._state.phase is Phase.STOPPED and self._connecting is not None:
            self._connecting.cancel()
        if transport is not None:
            transport.close()  # what is written already still goes out,
            self._loop.call_later(LINGER, transport.abort)  # unless nobody reads it

    def _call(self, name: str, after: float, what: Callable[[], None]) -> None:
        if timer := self._timers.pop(name, None):
            timer.cancel()
        if after > 0:
            self._timers[name] = self._loop.call_later(after, what)

    def _set_timers(self, hold: float, keepalive: float) -> None:
        self._call("hold", hold, lambda: self._check_hold(hold, self._loop.time() + hold))
        self._call("keepalive", keepalive, lambda: self._keepalive(keepalive))

    def _check_hold(self, hold: float, due: float) -> None:
        now = self._loop.time()
        silent = now - self._heard_at
        if now - due > LATE:
            again = LATE  # this process was held up: read first what has arrived since
        elif silent < hold:
            again = hold - silent
        else:
            self._handle(events.HoldExpired())
            return
        self._call("hold", again, lambda: self._check_hold(hold, now + again))

    def _keepalive(self, every: float) -> None:
        self._handle(events.KeepaliveDue())
        self._call("keepalive", every, lambda: self._keepalive(every))
