"""What can happen to a BGP session, and what it can do: the words of fsm.step. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from anycastle.agent.bgp.messages import Message, Open, Update
from anycastle.agent.bgp.wire import Afi, BgpError


@dataclass(frozen=True, slots=True)
class Start:
    pass


@dataclass(frozen=True, slots=True)
class RetryDue:
    pass


@dataclass(frozen=True, slots=True)
class Connected:
    pass


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    message: Message


@dataclass(frozen=True, slots=True)
class Broken:
    """What was received is not BGP."""

    error: BgpError


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is gone."""

    reason: str


@dataclass(frozen=True, slots=True)
class HoldExpired:
    pass


@dataclass(frozen=True, slots=True)
class KeepaliveDue:
    pass


@dataclass(frozen=True, slots=True)
class Stop:
    notify: bool


Event = (
    Start | RetryDue | Connected | ConnectFailed | Received | Broken | Ended | HoldExpired
    | KeepaliveDue | Stop
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Connect:
    pass


@dataclass(frozen=True, slots=True)
class Send:
    message: Message


@dataclass(frozen=True, slots=True)
class Close:
    pass


@dataclass(frozen=True, slots=True)
class Retry:
    """Report RetryDue after so many seconds."""

    after: float


@dataclass(frozen=True, slots=True)
class Timers:
    """Report HoldExpired after `hold` s of silence, KeepaliveDue every `keepalive` s; 0: never."""

    hold: float
    keepalive: float


@dataclass(frozen=True, slots=True)
class Up:
    """Established."""

    neighbour: Open


@dataclass(frozen=True, slots=True)
class Down:
    """Was established and is no longer, or could not be: why."""

    reason: str
    was_up: bool


@dataclass(frozen=True, slots=True)
class Deliver:
    update: Update


@dataclass(frozen=True, slots=True)
class Resend:
    """The neighbour asked for all routes of a family (RFC 2918)."""

    afi: Afi


Action = Connect | Send | Close | Retry | Timers | Up | Down | Deliver | Resend
