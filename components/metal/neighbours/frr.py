"""FRR (docs.frrouting.org, BGP): lines to merge into frr.conf or to type into vtysh."""

from __future__ import annotations

from collections.abc import Iterator

from anycastle.model.addresses import Network
from components.metal.neighbours.model import (
    GRACEFUL_SHUTDOWN,
    HOLD,
    KEEPALIVE,
    LIMIT,
    PATHS,
    Edge,
    of_family,
)

_WORD = {4: "ip", 6: "ipv6"}
_FAMILY = {4: "ipv4", 6: "ipv6"}


def render(edge: Edge) -> str:
    """The lines, in the order in which FRR itself shows them."""
    return "\n".join(
        [
            f"! Sessions with the nodes of {edge.name}. Resilient next hop groups need Linux 5.12:",
            "! `no zebra nexthop kernel enable` loses a member whose link was down (FRR 8.4).",
            *_lists(edge),
            *_maps(4),
            *_maps(6),
            "bfd",
            " profile anycastle",
            *([f"  detect-multiplier {edge.bfd.multiplier}"] if edge.bfd.multiplier != 3 else []),
            f"  transmit-interval {edge.bfd.interval}",
            f"  receive-interval {edge.bfd.interval}",
            " exit",
            "exit",
            "!",
            *_bgp(edge),
            "",
        ]
    )


def _lists(edge: Edge) -> Iterator[str]:
    yield f"bgp community-list standard ANYCASTLE-GSHUT permit {GRACEFUL_SHUTDOWN}"
    for version in (4, 6):
        accepted = [*map(str, of_family(edge.accepted, version)), *_hosts(edge.hosts, version)]
        anything = "0.0.0.0/0" if version == 4 else "::/0"
        offered = [anything, *map(str, of_family(edge.offered, version))]
        for name, entries in (("IN", accepted), ("OUT", offered)):
            for number, entry in enumerate(entries, 1):
                word = _WORD[version]
                yield (
                    f"{word} prefix-list ANYCASTLE-{name}{version} seq {5 * number} permit {entry}"
                )
    yield "!"


def _hosts(networks: tuple[Network, ...], version: int) -> Iterator[str]:
    for network in of_family(networks, version):
        yield f"{network} ge {network.max_prefixlen}"


def _maps(version: int) -> Iterator[str]:
    word, name = _WORD[version], f"ANYCASTLE-IN{version}"
    match = f" match {word} address prefix-list"
    yield from (f"route-map {name} permit 10", f"{match} {name}")
    yield from (" match community ANYCASTLE-GSHUT", " set local-preference 0", "exit", "!")
    yield from (f"route-map {name} permit 20", f"{match} {name}", "exit", "!")
    out = f"ANYCASTLE-OUT{version}"
    yield from (f"route-map {out} permit 10", f"{match} {out}", "exit", "!")


def _bgp(edge: Edge) -> Iterator[str]:
    yield f"router bgp {edge.asn}"
    for version in (4, 6):
        group = f"ANYCASTLE{version}"
        yield f" neighbor {group} peer-group"
        yield f" neighbor {group} remote-as {edge.node_asn}"
        yield f" neighbor {group} bfd"
        yield f" neighbor {group} bfd profile anycastle"
        yield f" neighbor {group} timers {KEEPALIVE} {HOLD}"
        yield f" neighbor {group} timers connect 1"
        for node in edge.nodes:
            yield f" neighbor {node.address(version)} peer-group {group}"
            yield f" neighbor {node.address(version)} description {node.name}"
    for version in (4, 6):
        yield from _family(version)
    yield "exit"
    yield "!"


def _family(version: int) -> Iterator[str]:
    group = f"ANYCASTLE{version}"
    yield " !"
    yield f" address-family {_FAMILY[version]} unicast"
    if version == 4:
        yield "  no neighbor ANYCASTLE6 activate"
    else:
        yield f"  neighbor {group} activate"
    yield f"  neighbor {group} maximum-prefix {LIMIT}"
    yield f"  neighbor {group} route-map ANYCASTLE-IN{version} in"
    yield f"  neighbor {group} route-map ANYCASTLE-OUT{version} out"
    yield f"  maximum-paths {PATHS}"
    yield " exit-address-family"
