"""Which addresses are free. Call within `changes.changing`, whose lock serialises it.

Every address below a pool's `next` is held by a client or listed as released, so an
allocation looks at two index entries however many clients there are.
"""

from __future__ import annotations

from collections.abc import Iterable

from anycastle.control.allocate import PoolRange
from anycastle.control.database import Connection
from anycastle.control.errors import Conflict
from anycastle.model.addresses import Address

_FREE = """
SELECT least(
    (SELECT min(address) FROM released_address WHERE address BETWEEN %(first)s AND %(last)s),
    CASE WHEN EXISTS (SELECT FROM client_address WHERE address = pool.next) THEN
        (SELECT held.address + 1 FROM client_address held
         WHERE held.address BETWEEN pool.next AND %(last)s
         AND NOT EXISTS (SELECT FROM client_address WHERE address = held.address + 1)
         ORDER BY held.address LIMIT 1)
    ELSE pool.next END
) AS address FROM pool WHERE network = %(network)s
"""


async def allocate(connection: Connection, pool: PoolRange) -> Address:
    """Take the pool's lowest free address. Raises Conflict when there is none."""
    values = {"network": pool.network, "first": pool.first, "last": pool.last}
    await connection.execute(
        "INSERT INTO pool (network, next) VALUES (%(network)s, %(first)s) ON CONFLICT DO NOTHING",
        values,
    )
    cursor = await connection.execute(_FREE, values)
    row = await cursor.fetchone()
    address: Address | None = row["address"] if row else None
    if address is None or int(address) > int(pool.last):
        raise Conflict(
            "pool_exhausted",
            f"the client pool {pool.network} has no free address left: remove clients or"
            " enlarge the pool",
        )
    await take(connection, address)
    await connection.execute(
        "UPDATE pool SET next = %s WHERE network = %s AND next <= %s",
        (address + 1, pool.network, address),
    )
    return address


async def take(connection: Connection, address: Address) -> None:
    """Note that `address` is no longer a released one (the client's row holds it)."""
    await connection.execute("DELETE FROM released_address WHERE address = %s", (address,))


async def release(connection: Connection, addresses: Iterable[Address]) -> None:
    """Give addresses of a deleted client back."""
    await connection.execute(
        "INSERT INTO released_address SELECT unnest(%s::inet[]) ON CONFLICT DO NOTHING",
        (list(addresses),),
    )
