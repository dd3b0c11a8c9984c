"""What an earlier agent left in the packet path, held against what is known. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Address

from anycastle.agent.takeover.plan import Plan
from anycastle.agent.takeover.table import Table
from anycastle.model.addresses import Endpoint

ORPHANED = 30.0
"""Seconds in which BGP must confirm what an earlier agent left in the packet path."""


class Orphans:
    """Endpoints in the packet path of which nobody knows whose they are.

    One of this node's own clients among them would have its packets relayed away, so it
    goes the moment it is known. Others stay until BGP has had the time to tell everything.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._endpoints: set[Endpoint] = set()
        self._until: float | None = None

    def found(
        self, existing: Mapping[Endpoint, IPv4Address | None], now: float, plan: Plan
    ) -> None:
        """The packet path holds `existing`: what is missing or wrong is put."""
        relays = self._table.relays
        for endpoint in existing.keys() - relays.keys():
            row = self._table.at(endpoint)
            if row is not None and row.own is not None:
                plan.remove_relays.add(endpoint)
            else:
                self._endpoints.add(endpoint)
        if self._endpoints and self._until is None:
            self._until = now + ORPHANED
        for endpoint, relay in relays.items():
            if endpoint not in existing or existing[endpoint] != relay:
                plan.put_relays[endpoint] = relay

    def claimed(self, endpoint: Endpoint, plan: Plan) -> None:
        """A client of this node is behind the endpoint."""
        if endpoint in self._endpoints:
            self._endpoints.discard(endpoint)
            plan.remove_relays.add(endpoint)

    def known(self, endpoints: Iterable[Endpoint]) -> None:
        """These are in the table's relays."""
        self._endpoints.difference_update(endpoints)

    def tick(self, now: float, plan: Plan) -> None:
        """Nobody has confirmed those that are left."""
        if self._until is not None and self._until <= now:
            plan.remove_relays |= self._endpoints
            self._endpoints.clear()
            self._until = None

    def next_tick(self) -> float | None:
        return self._until
