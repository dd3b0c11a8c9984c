"""Who is behind an endpoint, when several claim it. Pure.

A NAT that gives a port away leaves two clients with the same endpoint in the table, until
the former one moves or is forgotten. The claim that is newer holds; the others wait, since
the routes that make and end claims arrive in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

from anycastle.model.addresses import Endpoint

T = TypeVar("T")


class Holders(Generic[T]):
    """Endpoint -> its holder. since: what is compared, the larger holds; of equals the last
    to claim. Holders are compared by identity."""

    def __init__(self, since: Callable[[T, Endpoint], float]) -> None:
        self._since = since
        self._holders: dict[Endpoint, T] = {}
        self._disputed: dict[Endpoint, list[T]] = {}

    def __len__(self) -> int:
        return len(self._holders)

    def at(self, endpoint: Endpoint) -> T | None:
        return self._holders.get(endpoint)

    def claim(self, endpoint: Endpoint, by: T) -> None:
        """`by` claims the endpoint, or what `since` says of its claim changed."""
        holder = self._holders.setdefault(endpoint, by)
        if holder is not by or endpoint in self._disputed:
            claimants = self._disputed.get(endpoint, [holder])
            self._award(endpoint, [other for other in claimants if other is not by] + [by])

    def release(self, endpoint: Endpoint, by: T) -> None:
        """`by` has nothing to do with the endpoint any more."""
        others = [other for other in self._disputed.pop(endpoint, []) if other is not by]
        if others:
            self._award(endpoint, others)
        elif self._holders.get(endpoint) is by:
            del self._holders[endpoint]

    def _award(self, endpoint: Endpoint, claimants: list[T]) -> None:
        self._holders[endpoint] = max(
            reversed(claimants), key=lambda claimant: self._since(claimant, endpoint)
        )
        if len(claimants) > 1:
            self._disputed[endpoint] = claimants
