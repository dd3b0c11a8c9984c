"""What a takeover asks to be done. Shapes only."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from ipaddress import IPv4Address
from typing import NamedTuple

from anycastle.model.addresses import Endpoint
from anycastle.model.client import Client, Credential
from anycastle.model.status import Event


class Initiation(NamedTuple):
    """Make WireGuard initiate to the client. anew: remove and add its peer in the same
    message, because old keys may be left. credential: whose key to use."""

    client: Client
    credential: Credential
    endpoint: Endpoint
    anew: bool


class Measured(NamedTuple):
    """result: `confirmed` or `gave_up`. seconds: since the client's first foreign packet;
    None: there was none, the client was adopted."""

    result: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Counts:
    """How it stands. clients: enrolled. endpoints: with a client behind them. Clients by
    state: waiting, initiating, backing_off, confirmed (owned by this node).

    results: since the start: `started` (initiations), `confirmed`, `gave_up`.
    ignored: packets that led to nothing, by reason: `stray` (too old, or of nobody),
    `owned` (the client is here already), `clock`.
    """

    clients: int
    endpoints: int
    waiting: int
    initiating: int
    backing_off: int
    confirmed: int
    results: dict[str, int]
    ignored: dict[str, int]


@dataclass(slots=True)
class Plan:
    """To be done now, in the order of the fields. An empty one is false.

    forget: endpoints whose indices are no longer this node's; first, as an initiation
    after it makes a new one. reset: remove and add these clients' peers. remove_relays, put_relays: never the same endpoint.
    observed: for the histogram. sample: look at WireGuard now, something happened there.
    """

    forget: set[Endpoint] = field(default_factory=set)
    reset: list[Client] = field(default_factory=list)
    initiate: list[Initiation] = field(default_factory=list)
    remove_relays: set[Endpoint] = field(default_factory=set)
    put_relays: dict[Endpoint, IPv4Address | None] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    observed: list[Measured] = field(default_factory=list)
    sample: bool = False

    def __bool__(self) -> bool:
        return any(getattr(self, each.name) for each in fields(self))

    def merge(self, later: Plan) -> None:
        """Add what is to be done after this. Plans of one turn may be carried out as one:
        what a later one says about a relay replaces what an earlier one said."""
        self.forget |= later.forget
        self.reset += later.reset
        self.initiate += later.initiate
        self.remove_relays = (self.remove_relays - later.put_relays.keys()) | later.remove_relays
        for endpoint in later.remove_relays:
            self.put_relays.pop(endpoint, None)
        self.put_relays |= later.put_relays
        self.events += later.events
        self.observed += later.observed
        self.sample |= later.sample
