"""Which addresses a client may have (pure; store/pools says which are free)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from anycastle.control.errors import Invalid
from anycastle.model.addresses import FIRST_CLIENT_OFFSET, Address, Dual, Network, nth


class PoolRange(NamedTuple):
    """A pool and the first and last address that clients may have in it."""

    network: Network
    first: Address
    last: Address


def pool_range(network: Network) -> PoolRange:
    """What of a pool is for clients. Raises ValueError when that is nothing."""
    return PoolRange(
        network, nth(network, FIRST_CLIENT_OFFSET), nth(network, network.num_addresses - 1)
    )


class Request(NamedTuple):
    """A client's addresses: the ones asked for, and the pools to choose the rest from."""

    wanted: tuple[Address, ...]
    choose: tuple[PoolRange, ...]


def request(pools: Dual, addresses: Sequence[Address]) -> Request:
    """Check the addresses that were asked for. Raises Invalid with the field's path."""
    ranges = {network.version: pool_range(network) for network in pools}
    for index, address in enumerate(addresses):
        field = f"addresses[{index}]"
        if address.version not in ranges:
            raise Invalid(field, f"a second IPv{address.version} address; a client has one")
        _check(field, address, ranges.pop(address.version))
    return Request(tuple(addresses), tuple(ranges.values()))


def _check(field: str, address: Address, pool: PoolRange) -> None:
    if address not in pool.network:
        raise Invalid(field, f"{address} is not in the client pool {pool.network}")
    if int(address) < int(pool.first):
        raise Invalid(
            field,
            f"{address} is kept for the deployment itself; clients have {pool.first} and up",
        )
