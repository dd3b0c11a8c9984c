"""How relayed packets reach the owner's WireGuard: off the inter-node path, onto the uplink.

wireguard-go answers out of the interface that a packet came in by, and the answer to a
relayed packet has to leave by the uplink. So what arrives on the inter-node path for the
service is handed to the uplink as if it had come in there, where the ruleset looks at it.
nftables can't do that; the classic u32 classifier and the mirred action of tc(8) can.
Text and its reading only, pure.

u32 looks at fixed offsets: a relayed packet with IP options is not found, and goes to
WireGuard over the inter-node path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from anycastle.model.addresses import Address

PREFERENCES = {4: 5182, 6: 5183}
"""tc's `pref`: place and name of the filters of each family; nobody else's are touched."""

_UDP = "17 0xff"


def target(uplinks: Sequence[tuple[str, bool]]) -> str | None:
    """The uplink that relayed packets are handed to: the first one that works.

    uplinks: (name, has it a carrier?) of those that exist. The first where none works; None
    where there is none.
    """
    working = [name for name, works in uplinks if works]
    return next(iter(working or [name for name, _ in uplinks]), None)


def filters(fabric: str, uplink: str, addresses: Iterable[Address], port: int) -> str:
    """`tc -batch` lines that put the filters in place of those that are there."""
    by_version: dict[int, list[str]] = {4: [], 6: []}
    for address in addresses:
        by_version[address.version].append(str(address))
    return "".join(
        f"filter add dev {fabric} ingress protocol {protocol} pref {PREFERENCES[version]} "
        f"u32 match {word} dst {address}/{length} match {word} protocol {_UDP} "
        f"match {word} dport {port} 0xffff "
        f"action mirred ingress redirect dev {uplink}\n"
        for version, word, protocol, length in ((4, "ip", "ip", 32), (6, "ip6", "ipv6", 128))
        for address in by_version[version]
    )


def removal(fabric: str, version: int) -> list[str]:
    """Arguments of the `tc` that removes the filters of a family; it fails without any."""
    protocol = "ip" if version == 4 else "ipv6"
    place = ["protocol", protocol, "pref", str(PREFERENCES[version])]
    return ["filter", "del", "dev", fabric, "ingress", *place]


def in_place(shown: str, uplink: str, addresses: Sequence[Address]) -> bool:
    """Does `tc filter show` show our filters, one for each address, all to this uplink?"""
    blocks = shown.split("\nfilter ")
    places = {f"pref {preference} " for preference in PREFERENCES.values()}
    ours = [one for one in blocks if any(place in one for place in places) and "mirred" in one]
    return len(ours) == len(addresses) and all(
        f"Ingress Redirect to device {uplink})" in one for one in ours
    )
