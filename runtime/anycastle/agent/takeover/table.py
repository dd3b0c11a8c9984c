"""Who owns which client, behind which endpoint, since when: what a takeover looks up. Pure.

Filled by BGP (other nodes' client routes) and by this node's own sessions. One row per
enrolled client, found in constant time by client, by address, by endpoint.

- **The newest confirmed session is the truth.** A client's addresses are routes of their
  own, which change one after the other; the row's claim is the newest of them.
- **A vanished owner is not forgotten.** When the routes are gone, the claim stays for
  HOLD, longer than any session lives: until then its packets can come, and say that the
  client is here now. An older route of another node that appears meanwhile is not taken
  for the truth before that: the client has left that node.
- **An endpoint belongs to one client**, the one confirmed last: behind a NAT the address
  is shared and the port tells clients apart, until the NAT gives the port to another.
  Routes arrive in any order, so who claims an endpoint that is another's is remembered.
- **What this node owns is nobody else's.** Its endpoints are never relayed, but for
  KEEP after a takeover: packets under the old key are still on their way.

`changes` tells how the packet path's relays differ from when it was last asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

from anycastle.agent.takeover.holders import Holders
from anycastle.model.addresses import Address, Endpoint
from anycastle.model.client import Client

HOLD = 190.0
"""Seconds for which a vanished owner's claim is kept: a session lives for 180."""
KEEP = 10.0
"""Seconds for which packets under the old key are relayed after a takeover."""
ROAMS = 4
"""Endpoints that are remembered of a client that roams while this node owns it."""


class Claim(NamedTuple):
    """owner: IPv4 loopback of a node. confirmed_at: epoch seconds, what BGP compares."""

    owner: IPv4Address
    endpoint: Endpoint
    confirmed_at: float


@dataclass(slots=True, eq=False)
class Row:
    """heard: what BGP says about each of the client's addresses. claim: the newest session
    of another node, or of this one after it ended. vanished_at: since when nobody
    announces it (monotonic); None: somebody does. own: this node's session.
    keep: packets of `claim` are still relayed although this node owns the client. keeps:
    how often that was so.
    left: endpoints that the client has had since this node owns it.
    """

    client: Client
    heard: tuple[Claim | None, ...]
    claim: Claim | None = None
    vanished_at: float | None = None
    own: Claim | None = None
    keep: bool = False
    keeps: int = 0
    left: tuple[Endpoint, ...] = ()

    @property
    def live(self) -> bool:
        """Does another node say that it owns the client?"""
        return self.claim is not None and self.vanished_at is None


class Table:
    """The rows and their indices. own: IPv4 loopback of this node."""

    def __init__(self, own: IPv4Address) -> None:
        self._own = own
        self._rows: dict[str, Row] = {}
        self._by_address: dict[bytes, Row] = {}
        self._by_endpoint: Holders[Row] = Holders(_since)
        self._strangers: dict[bytes, Claim] = {}
        self._relays: dict[Endpoint, IPv4Address | None] = {}
        self._dirty: set[Endpoint] = set()

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows.values())

    def get(self, client_id: str) -> Row | None:
        return self._rows.get(client_id)

    def of(self, address: Address) -> Row | None:
        """The row of the client with this address inside the tunnel."""
        return self._by_address.get(address.packed)

    def at(self, endpoint: Endpoint) -> Row | None:
        """The row of the client that is behind this endpoint."""
        return self._by_endpoint.at(endpoint)

    @property
    def endpoints(self) -> int:
        """Endpoints with a client behind them."""
        return len(self._by_endpoint)

    @property
    def relays(self) -> dict[Endpoint, IPv4Address | None]:
        """What the packet path is to hold, as of the last `changes`. Not to be changed."""
        return self._relays

    def put(self, client: Client, now: float) -> Row:
        """A client that is new or changed; routes that came before it count."""
        row = self._rows.get(client.id)
        if row is not None and row.client.addresses == client.addresses:
            row.client = client
            return row
        if row is not None:
            self.remove(client.id)
        keys = [address.packed for address in client.addresses]
        row = Row(client, tuple(self._strangers.pop(key, None) for key in keys))
        self._rows[client.id] = row
        self._by_address.update((key, row) for key in keys)
        self._settle(row, now)
        return row

    def remove(self, client_id: str) -> None:
        """The client is no longer enrolled. What BGP says is kept for who gets the address."""
        row = self._rows.pop(client_id, None)
        if row is None:
            return
        for address, heard in zip(row.client.addresses, row.heard, strict=True):
            if self._by_address.get(address.packed) is row:
                del self._by_address[address.packed]
            if heard is not None:
                self._strangers[address.packed] = heard
        held = _endpoints(row)
        # Timers may still hold the row.
        row.claim = row.own = row.vanished_at = None
        row.heard = tuple(None for _ in row.heard)
        self._reindex(row, held)

    def hear(self, address: Address, claim: Claim | None, now: float) -> Row | None:
        """BGP's best route of another node to this address; None: there is none now."""
        row = self._by_address.get(address.packed)
        if row is None:
            if claim is None:
                self._strangers.pop(address.packed, None)
            else:
                self._strangers[address.packed] = claim
            return None
        place = row.client.addresses.index(address)
        # The routes of a client's addresses say the same: keep one object for both.
        claim = next((known for known in row.heard if known == claim), claim)
        row.heard = (*row.heard[:place], claim, *row.heard[place + 1 :])
        if row.own is None:
            self._settle(row, now)
        return row

    def own(self, row: Row, endpoint: Endpoint, confirmed_at: float) -> None:
        """This node owns the client now, or its endpoint changed."""
        held = _endpoints(row)
        if row.own is None:
            row.keep = row.live
            row.keeps += row.keep
        if not row.keep:
            row.claim, row.vanished_at = None, None
        if row.own is not None and row.own.endpoint != endpoint:
            row.left = (*row.left, row.own.endpoint)[-ROAMS:]
        row.own = Claim(self._own, endpoint, confirmed_at)
        self._reindex(row, held)

    def end_keep(self, row: Row) -> None:
        """KEEP is over."""
        if row.keep:
            held = _endpoints(row)
            row.keep, row.claim = False, None
            self._reindex(row, held)

    def end_keeps(self) -> None:
        """As if KEEP were over for all."""
        for row in self:
            self.end_keep(row)

    def disown(self, row: Row, now: float) -> None:
        """This node's session ended: a claim like that of another node that vanished,
        unless there is a newer one."""
        if row.own is None:
            return
        held = _endpoints(row)
        row.claim, row.vanished_at = row.own, now
        row.own, row.keep, row.left = None, False, ()
        self._reindex(row, held)
        self._settle(row, now)

    def expire(self, row: Row, now: float) -> None:
        """HOLD is over: forget the claim, if it is still the same vanished one."""
        if row.vanished_at is None or row.vanished_at + HOLD > now or row.own is not None:
            return
        held = _endpoints(row)
        row.claim, row.vanished_at = None, None
        self._reindex(row, held)
        self._settle(row, now)

    def changes(self) -> tuple[dict[Endpoint, IPv4Address | None], set[Endpoint]]:
        """(relays to put, endpoints to remove) since it was last asked."""
        put: dict[Endpoint, IPv4Address | None] = {}
        remove: set[Endpoint] = set()
        for endpoint in self._dirty:
            wanted, relay = self._relay(endpoint)
            held = endpoint in self._relays
            if wanted and not (held and self._relays[endpoint] == relay):
                put[endpoint] = self._relays[endpoint] = relay
            elif held and not wanted:
                remove.add(endpoint)
                del self._relays[endpoint]
        self._dirty.clear()
        return put, remove

    def _relay(self, endpoint: Endpoint) -> tuple[bool, IPv4Address | None]:
        """(is the endpoint to be in the relays?, where to)."""
        row = self._by_endpoint.at(endpoint)
        if row is None or row.claim is None or row.claim.endpoint != endpoint:
            return False, None
        if row.own is not None:
            return row.keep, row.claim.owner
        return True, row.claim.owner if row.live else None

    def _settle(self, row: Row, now: float) -> None:
        """Make the claim follow what BGP says; see the top of the file."""
        claims = [claim for claim in row.heard if claim is not None]
        best = max(claims, key=_confirmed_at, default=None)
        if best is not None and _supersedes(best, row.claim):
            if best is row.claim and row.vanished_at is None:
                return  # as when the second address of a client follows the first
            held = _endpoints(row)
            row.claim, row.vanished_at = best, None
        elif row.claim is not None and row.vanished_at is None:
            held = _endpoints(row)
            row.vanished_at = now
        else:
            return
        self._reindex(row, held)

    def _reindex(self, row: Row, held: set[Endpoint]) -> None:
        """Bring the endpoint index up to date after the row changed; held: before it did."""
        holds = _endpoints(row)
        for endpoint in held - holds:
            self._by_endpoint.release(endpoint, row)
        for endpoint in holds:
            self._by_endpoint.claim(endpoint, row)
        self._dirty |= held | holds


def _confirmed_at(claim: Claim) -> float:
    return claim.confirmed_at


def _supersedes(best: Claim, claim: Claim | None) -> bool:
    """Is BGP's best route the truth now? What the same node says anew always is."""
    if claim is None or best.owner == claim.owner:
        return True
    return best.confirmed_at >= claim.confirmed_at


def _endpoints(row: Row) -> set[Endpoint]:
    return {claim.endpoint for claim in (row.claim, row.own) if claim is not None}


def _since(row: Row, endpoint: Endpoint) -> float:
    claims = [claim for claim in (row.claim, row.own) if claim and claim.endpoint == endpoint]
    return max((claim.confirmed_at for claim in claims), default=0.0)
