"""The BGP session's state machine (RFC 4271 8), for the side that connects. Pure.

`step(parameters, state, event)` returns the next state and what to do, in order; it
knows no socket and no clock. session.py does what it says and reports back.

    IDLE --Start, RetryDue--> CONNECT --Connected--> OPEN_SENT --OPEN--> OPEN_CONFIRM
      ^                          |                       |                    | KEEPALIVE
      |                          v                       v                    v
      +--- ConnectFailed, Ended, Broken, HoldExpired, NOTIFICATION ----- ESTABLISHED

    any --Stop--> STOPPED

The neighbour is the node's own daemon, so there is no listening side, no collision
detection (6.8), no DelayOpen and no long back-off: a daemon that restarts is tried
again after 0.2 s, growing to 1 s.

How a session ends matters. A NOTIFICATION tells the daemon to forget our routes; the
bare end of the connection lets it keep them where graceful restart was negotiated
(RFC 4724 4). So `Stop(notify=False)` closes without a word.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass, replace
from ipaddress import IPv4Address
from typing import Any

from anycastle.agent.bgp.capabilities import Capabilities
from anycastle.agent.bgp.events import (
    Action,
    Broken,
    Close,
    Connect,
    Connected,
    ConnectFailed,
    Deliver,
    Down,
    Ended,
    Event,
    HoldExpired,
    KeepaliveDue,
    Received,
    Resend,
    Retry,
    RetryDue,
    Send,
    Start,
    Stop,
    Timers,
    Up,
)
from anycastle.agent.bgp.messages import (
    Keepalive,
    Message,
    Notification,
    Open,
    RouteRefresh,
    Update,
)
from anycastle.agent.bgp.wire import BgpError, ErrorCode

RETRY_FIRST, RETRY_MOST = 0.2, 1.0
"""Seconds between attempts to connect."""
OPEN_HOLD_TIME = 10.0
"""Seconds that the daemon may take to answer our OPEN."""


class Phase(enum.Enum):
    IDLE = "idle"
    CONNECT = "connect"
    OPEN_SENT = "open sent"
    OPEN_CONFIRM = "open confirm"
    ESTABLISHED = "established"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Parameters:
    """Our side. asn: of both sides (iBGP). hold_time: seconds that we propose."""

    asn: int
    identifier: IPv4Address
    hold_time: int
    capabilities: Capabilities


@dataclass(frozen=True, slots=True)
class State:
    """failures: attempts in a row that did not establish a session. neighbour: its OPEN."""

    phase: Phase = Phase.IDLE
    failures: int = 0
    neighbour: Open | None = None


Step = tuple[State, list[Action]]


def step(parameters: Parameters, state: State, event: Event) -> Step:
    """The next state and what to do. An event that means nothing in a phase does nothing."""
    handler = TABLE.get((state.phase, type(event)))
    return handler(parameters, state, event) if handler else (state, [])


def _connect(_: Parameters, state: State, __: Event) -> Step:
    return replace(state, phase=Phase.CONNECT), [Connect()]


def _connected(parameters: Parameters, state: State, _: Event) -> Step:
    message = Open(
        parameters.asn, parameters.hold_time, parameters.identifier, parameters.capabilities
    )
    return replace(state, phase=Phase.OPEN_SENT), [Timers(OPEN_HOLD_TIME, 0), Send(message)]


def _answered(parameters: Parameters, state: State, event: Received) -> Step:
    message = event.message
    if not isinstance(message, Open):
        return _other(parameters, state, event)
    if error := refuse(parameters, message):
        return _broken(parameters, state, Broken(error))
    hold = float(min(parameters.hold_time, message.hold_time))
    actions: list[Action] = [Timers(hold, hold / 3), Send(Keepalive())]
    return replace(state, phase=Phase.OPEN_CONFIRM, neighbour=message), actions


def _confirmed(parameters: Parameters, state: State, event: Received) -> Step:
    if not isinstance(event.message, Keepalive) or state.neighbour is None:
        return _other(parameters, state, event)
    return replace(state, phase=Phase.ESTABLISHED, failures=0), [Up(state.neighbour)]


def _established(parameters: Parameters, state: State, event: Received) -> Step:
    match event.message:
        case Update():
            return state, [Deliver(event.message)]
        case Keepalive():
            return state, []
        case RouteRefresh(afi):
            return state, [Resend(afi)]
    return _other(parameters, state, event)


def _other(parameters: Parameters, state: State, event: Received) -> Step:
    """A NOTIFICATION, or a message that has no place in this phase."""
    message: Message = event.message
    if isinstance(message, Notification):
        return _fail(state, f"the daemon closed the session: {describe(message)}")
    what = f"{type(message).__name__.upper()} in phase {state.phase.value}"
    return _broken(parameters, state, Broken(BgpError(ErrorCode.FSM, 0, what)))


def refuse(parameters: Parameters, theirs: Open) -> BgpError | None:
    """What is wrong with the daemon's OPEN, for a configuration of ours to be mended."""
    if theirs.asn != parameters.asn:
        what = f"it is configured with AS {theirs.asn}, the node spec says {parameters.asn}"
        return BgpError(ErrorCode.OPEN, 2, what)
    if theirs.identifier == parameters.identifier:
        return BgpError(ErrorCode.OPEN, 3, f"its router id {theirs.identifier} is our own")
    missing = set(parameters.capabilities.families) - set(theirs.capabilities.families)
    if missing or theirs.capabilities.asn is None:
        names = sorted(afi.name for afi in missing) or ["4-byte AS numbers"]
        what = f"it does not do {', '.join(names)} on this session"
        return BgpError(ErrorCode.OPEN, 7, what)
    return None


def _broken(_: Parameters, state: State, event: Broken) -> Step:
    error = event.error
    message = Notification(error.code, error.subcode, error.data)
    return _fail(state, f"the daemon is at fault: {error}", Send(message))


def _hold_expired(_: Parameters, state: State, __: Event) -> Step:
    message = Notification(ErrorCode.HOLD_TIMER, 0)
    return _fail(state, "the daemon was silent for the hold time", Send(message))


def _keepalive_due(_: Parameters, state: State, __: Event) -> Step:
    return state, [Send(Keepalive())]


def _ended(_: Parameters, state: State, event: Ended | ConnectFailed) -> Step:
    return _fail(state, event.reason)


def _fail(state: State, reason: str, *last_words: Action) -> Step:
    delay = min(RETRY_FIRST * 2.0 ** min(state.failures, 16), RETRY_MOST)
    was_up = state.phase is Phase.ESTABLISHED
    actions = [*last_words, Timers(0, 0), Close(), Down(reason, was_up), Retry(delay)]
    return State(Phase.IDLE, failures=state.failures + 1), actions


def _stop(_: Parameters, state: State, event: Stop) -> Step:
    farewell: list[Action] = []
    if event.notify and state.phase in (Phase.OPEN_SENT, Phase.OPEN_CONFIRM, Phase.ESTABLISHED):
        farewell = [Send(Notification(ErrorCode.CEASE, 2))]  # administrative shutdown
    down = Down("stopped", was_up=state.phase is Phase.ESTABLISHED)
    return State(Phase.STOPPED), [*farewell, Timers(0, 0), Close(), down]


_CEASE = {2: "administratively shut down", 3: "de-configured", 4: "reset", 6: "reconfigured"}
_CODES = {
    1: "message header error",
    2: "OPEN refused",
    3: "UPDATE refused",
    4: "it heard nothing from the agent for the hold time",
    5: "state machine error",
}


def describe(message: Notification) -> str:
    """A NOTIFICATION in words."""
    words = _CEASE.get(message.subcode) if message.code == 6 else _CODES.get(message.code)
    return f"{words or 'closed'} ({message.code}/{message.subcode})"


_CONNECTION = (Phase.OPEN_SENT, Phase.OPEN_CONFIRM, Phase.ESTABLISHED)

TABLE: dict[tuple[Phase, type], Callable[[Parameters, State, Any], Step]] = {
    (Phase.IDLE, Start): _connect,
    (Phase.IDLE, RetryDue): _connect,
    (Phase.CONNECT, Connected): _connected,
    (Phase.CONNECT, ConnectFailed): _ended,
    (Phase.OPEN_SENT, Received): _answered,
    (Phase.OPEN_CONFIRM, Received): _confirmed,
    (Phase.OPEN_CONFIRM, KeepaliveDue): _keepalive_due,
    (Phase.ESTABLISHED, Received): _established,
    (Phase.ESTABLISHED, KeepaliveDue): _keepalive_due,
    **{(phase, Ended): _ended for phase in _CONNECTION},
    **{(phase, Broken): _broken for phase in _CONNECTION},
    **{(phase, HoldExpired): _hold_expired for phase in _CONNECTION},
    **{(phase, Stop): _stop for phase in Phase if phase is not Phase.STOPPED},
}
"""What each event does in each phase; a pair that is not here does nothing."""
