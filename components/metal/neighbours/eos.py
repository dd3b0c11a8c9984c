"""Arista EOS (EOS User Manual, Border Gateway Protocol): lines for `configure`."""

from __future__ import annotations

from collections.abc import Iterator

from components.metal.neighbours.model import HOLD, KEEPALIVE, LIMIT, PATHS, Edge, of_family

_WORD = {4: "ip", 6: "ipv6"}
RESILIENCE = (64, 8)
"""Slots of a resilient route, and how often a next hop stands in them at most."""


def render(edge: Edge) -> str:
    """The lines, as `show running-config` has them."""
    bfd = edge.bfd
    return "\n".join(
        [
            f"! Sessions with the nodes of {edge.name}.",
            "! The first lines are of platforms with a resilient ECMP table only.",
            *_resilience(edge),
            "ip community-list ANYCASTLE-GSHUT permit GSHUT",
            "!",
            *_lists(edge),
            *_maps(4),
            *_maps(6),
            "router bfd",
            f"   interval {bfd.interval} min-rx {bfd.interval} multiplier {bfd.multiplier} default",
            "!",
            *_bgp(edge),
            "!",
            "",
        ]
    )


def _resilience(edge: Edge) -> Iterator[str]:
    capacity, redundancy = RESILIENCE
    for network in edge.accepted:
        word = _WORD[network.version]
        yield (
            f"{word} hardware fib ecmp resilience {network} capacity {capacity} "
            f"redundancy {redundancy}"
        )
    yield "!"


def _lists(edge: Edge) -> Iterator[str]:
    for version in (4, 6):
        accepted = [str(network) for network in of_family(edge.accepted, version)]
        accepted += [f"{net} ge {net.max_prefixlen}" for net in of_family(edge.hosts, version)]
        anything = "0.0.0.0/0" if version == 4 else "::/0"
        offered = [anything, *map(str, of_family(edge.offered, version))]
        for name, entries in (("IN", accepted), ("OUT", offered)):
            yield f"{_WORD[version]} prefix-list ANYCASTLE-{name}{version}"
            for number, entry in enumerate(entries, 1):
                yield f"   seq {10 * number} permit {entry}"
            yield "!"


def _maps(version: int) -> Iterator[str]:
    word, name = _WORD[version], f"ANYCASTLE-IN{version}"
    match = f"   match {word} address prefix-list"
    yield from (f"route-map {name} permit 10", f"{match} {name}")
    yield from ("   match community ANYCASTLE-GSHUT", "   set local-preference 0", "!")
    yield from (f"route-map {name} permit 20", f"{match} {name}", "!")
    out = f"ANYCASTLE-OUT{version}"
    yield from (f"route-map {out} permit 10", f"{match} {out}", "!")


def _bgp(edge: Edge) -> Iterator[str]:
    yield f"router bgp {edge.asn}"
    yield f"   maximum-paths {PATHS} ecmp {PATHS}"
    for version in (4, 6):
        group = f"ANYCASTLE{version}"
        yield f"   neighbor {group} peer group"
        yield f"   neighbor {group} remote-as {edge.node_asn}"
        yield f"   neighbor {group} bfd"
        yield f"   neighbor {group} timers {KEEPALIVE} {HOLD}"
        yield f"   neighbor {group} maximum-routes {LIMIT}"
        for node in edge.nodes:
            yield f"   neighbor {node.address(version)} peer group {group}"
            yield f"   neighbor {node.address(version)} description {node.name}"
    for version, other in ((4, 6), (6, 4)):
        yield "   !"
        yield f"   address-family ipv{version}"
        yield f"      neighbor ANYCASTLE{version} activate"
        yield f"      no neighbor ANYCASTLE{other} activate"
        yield f"      neighbor ANYCASTLE{version} route-map ANYCASTLE-IN{version} in"
        yield f"      neighbor ANYCASTLE{version} route-map ANYCASTLE-OUT{version} out"
