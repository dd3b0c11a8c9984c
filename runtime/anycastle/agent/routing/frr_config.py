"""FRR's configuration for one node, as text. Pure.

Written the way FRR 8.4 itself writes it (`show running-config`): frr-reload.py
compares lines, and any other spelling would be undone and redone at every load.
The policy is plan.py's table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from anycastle.agent.routing.plan import (
    AGENT_ANYCAST,
    AGENT_CLIENT,
    BEACONS,
    FABRIC_BFD,
    Family,
    families,
)
from anycastle.model.addresses import fabric_interface
from anycastle.model.deployment import Bfd
from anycastle.model.node import EdgePeer, NodeSpec, Peer

KEEPALIVE, HOLD = 1, 3
"""Seconds. Short: BFD is a process of its own here and does not see that bgpd hangs."""
MAXIMUM_PATHS = 8
"""Edge routers over which a node spreads what it sends."""

DAEMONS = """\
# Written by anycastle-agent, which overwrites changes.
bgpd=yes
bfdd=yes

vtysh_enable=yes
zebra_options="  -A 127.0.0.1 -s 90000000"
bgpd_options="   -A 127.0.0.1"
staticd_options="-A 127.0.0.1"
bfdd_options="   -A 127.0.0.1"
"""
"""/etc/frr/daemons: which of FRR's processes run."""


OWN_NEXT_HOPS = "no zebra nexthop kernel enable"
"""Routes carry their next hops themselves. With kernel next hop groups (FRR's default) the
kernel drops a member whose link goes down, zebra 8.4 does not notice, and an uplink that
comes back stays out of an ECMP route for good."""


def frr_config(spec: NodeSpec, peers: Sequence[Peer]) -> str:
    """The whole of frr.conf."""
    both = families(spec)
    lines = [
        "frr defaults traditional",
        "log syslog informational",
        OWN_NEXT_HOPS,
        "!",
        *_bfd(spec),
        *_bgp(spec, peers, both),
        *(line for family in both for line in _prefix_lists(family)),
        *(line for family in both for line in _route_maps(family)),
        *(line for family in both for line in _zebra(family)),
        "!",
        "end",
    ]
    return "\n".join(lines) + "\n"


def _ip(family: Family) -> str:
    return "ip" if family.version == 4 else "ipv6"


def _bfd(spec: NodeSpec) -> Iterator[str]:
    """Profiles: timers given on the neighbour's own line are not written back."""
    yield "bfd"
    for bfd in sorted({edge.bfd for edge in spec.edges} | {FABRIC_BFD}, key=_profile):
        yield f" profile {_profile(bfd)}"
        if bfd.multiplier != 3:  # FRR does not write its defaults
            yield f"  detect-multiplier {bfd.multiplier}"
        if bfd.interval != 300:
            yield f"  transmit-interval {bfd.interval}"
            yield f"  receive-interval {bfd.interval}"
        yield " exit"
        yield " !"
    yield "exit"
    yield "!"


def _profile(bfd: Bfd) -> str:
    return f"every-{bfd.interval}-ms-times-{bfd.multiplier}"


def _bgp(spec: NodeSpec, peers: Sequence[Peer], both: tuple[Family, Family]) -> Iterator[str]:
    yield f"router bgp {spec.asn}"
    yield f" bgp router-id {spec.loopbacks.v4}"
    yield " bgp log-neighbor-changes"
    yield " no bgp default ipv4-unicast"
    # Else edges would keep a hung bgpd's routes for two minutes.
    yield " bgp graceful-restart-disable"
    yield " bgp bestpath as-path multipath-relax"
    yield " coalesce-time 0"
    yield from _peers(spec, peers, both[0])
    for edge in spec.edges:
        yield from _edge(edge)
    for address in (AGENT_CLIENT, AGENT_ANYCAST):
        yield from _agent(spec, str(address))
    yield " !"
    for family in both:
        yield from _address_family(spec, family)
    yield "exit"
    yield "!"


def _peers(spec: NodeSpec, peers: Sequence[Peer], family: Family) -> Iterator[str]:
    """A group, so that a peer that comes or goes is two lines and touches no other."""
    yield " neighbor PEERS peer-group"
    yield f" neighbor PEERS remote-as {spec.asn}"
    yield " neighbor PEERS bfd"
    yield f" neighbor PEERS bfd profile {_profile(FABRIC_BFD)}"
    yield f" neighbor PEERS update-source {family.fabric_address}"
    yield from _timers("PEERS")
    for peer in peers:
        address = fabric_interface(spec.fabric.networks.v4, peer.loopbacks.v4).ip
        yield f" neighbor {address} peer-group PEERS"
        yield f" neighbor {address} description peer-{peer.name}"


def _timers(address: str) -> Iterator[str]:
    yield f" neighbor {address} timers {KEEPALIVE} {HOLD}"
    yield f" neighbor {address} timers connect 1"


def _edge(edge: EdgePeer) -> Iterator[str]:
    for version in (4, 6):
        session = edge.session(version)
        if session is None:
            continue
        address = str(session[1])
        yield f" neighbor {address} remote-as {edge.asn}"
        yield f" neighbor {address} description edge-{edge.name}-{version}"
        yield f" neighbor {address} bfd"
        yield f" neighbor {address} bfd profile {_profile(edge.bfd)}"
        yield from _timers(address)


def _agent(spec: NodeSpec, address: str) -> Iterator[str]:
    session = "client" if address == str(AGENT_CLIENT) else "anycast"
    yield f" neighbor {address} remote-as {spec.asn}"
    yield f" neighbor {address} description agent-{session}"
    yield f" neighbor {address} passive"
    yield f" neighbor {address} update-source {spec.loopbacks.v4}"
    if session == "client":
        yield f" neighbor {address} graceful-restart-helper"


def _address_family(spec: NodeSpec, family: Family) -> Iterator[str]:
    v = family.version
    yield f" address-family ipv{v} unicast"
    yield f"  network {family.loopback}/{family.length}"
    yield from _activate("PEERS", "PEER", v, ("next-hop-self force",))
    for edge in spec.edges:
        # Loopbacks of the deployment's nodes come back through the edge.
        options = ("next-hop-self", "allowas-in 1", "attribute-unchanged med")
        if session := edge.session(v):
            yield from _activate(str(session[1]), "EDGE", v, options)
    for agent, name in ((AGENT_CLIENT, "AGENT-CLIENT"), (AGENT_ANYCAST, "AGENT-ANYCAST")):
        yield from _activate(str(agent), name, v, ("route-reflector-client",))
    yield f"  maximum-paths {MAXIMUM_PATHS}"
    yield "  maximum-paths ibgp 1"
    yield " exit-address-family"
    if v == 4:
        yield " !"


def _activate(address: str, name: str, version: int, options: Iterable[str]) -> Iterator[str]:
    yield f"  neighbor {address} activate"
    for option in options:
        yield f"  neighbor {address} {option}"
    yield f"  neighbor {address} route-map FROM-{name}-{version} in"
    yield f"  neighbor {address} route-map TO-{name}-{version} out"


def _prefix_lists(family: Family) -> Iterator[str]:
    v, length = family.version, family.length
    yield from _prefix_list(family, "LOOPBACK", [f"{family.loopback}/{length}"])
    yield from _prefix_list(family, "CLIENTS", [f"{family.pool} ge {length}"])
    yield from _prefix_list(family, "AGGREGATES", [str(network) for network in family.aggregates])
    refused = [f"{network} le {length}" for network in family.own]
    yield from _prefix_list(family, "OWN", [*refused, f"{family.loopback}/{length}"])
    if v == 6:
        yield from _prefix_list(family, "BEACONS", [f"{BEACONS} ge {length}"])
    yield "!"


def _prefix_list(family: Family, name: str, entries: Iterable[str]) -> Iterator[str]:
    for index, entry in enumerate(entries):
        yield f"{_ip(family)} prefix-list {name}-{family.version} seq {5 * (index + 1)} permit {entry}"


def _route_maps(family: Family) -> Iterator[str]:
    v = family.version
    beacons = [_match(family, "BEACONS")] if v == 6 else []
    clients, aggregates = _match(family, "CLIENTS"), _match(family, "AGGREGATES")
    source = f"set src {family.loopback}"
    hop = (
        f"set ip next-hop {family.fabric_address}"
        if v == 4
        else f"set ipv6 next-hop global {family.fabric_address}"
    )
    # Only fabric addresses have a neighbour entry on the inter-node device, no link-local ones.
    prefer = ["set ipv6 next-hop prefer-global"] if v == 6 else []
    maps: dict[str, list[tuple[str, list[str]]]] = {
        "FROM-AGENT-CLIENT": [("permit", [clients])],
        "FROM-AGENT-ANYCAST": [("permit", [match]) for match in (aggregates, *beacons)],
        "FROM-PEER": [("permit", [match, *prefer]) for match in (clients, *beacons)],
        "FROM-EDGE": [*_deny(family, "OWN", beacons), ("permit", [])],
        "TO-AGENT-CLIENT": [("permit", [clients])],
        "TO-AGENT-ANYCAST": [("permit", [match]) for match in beacons] or [("deny", [])],
        "TO-PEER": [("permit", [match, hop]) for match in (clients, *beacons)],
        "TO-EDGE": [("permit", [match]) for match in (_match(family, "LOOPBACK"), aggregates)],
        "TO-KERNEL": [
            *_deny(family, "AGGREGATES", beacons),
            ("permit", [clients]),
            ("permit", [source]),
        ],
        "NEXT-HOP": [("permit", ["match source-protocol connected"])],
    }
    for name, entries in maps.items():
        yield from _route_map(f"{name}-{v}", entries)


def _zebra(family: Family) -> Iterator[str]:
    ip, v = _ip(family), family.version
    yield f"{ip} protocol bgp route-map TO-KERNEL-{v}"
    # Without it FRR takes an unreachable route of the kernel for a way to a next hop.
    yield f"{ip} nht bgp route-map NEXT-HOP-{v}"


def _match(family: Family, name: str) -> str:
    return f"match {_ip(family)} address prefix-list {name}-{family.version}"


def _deny(family: Family, name: str, beacons: list[str]) -> list[tuple[str, list[str]]]:
    return [("deny", [match]) for match in (_match(family, name), *beacons)]


def _route_map(name: str, entries: Iterable[tuple[str, list[str]]]) -> Iterator[str]:
    for index, (action, clauses) in enumerate(entries):
        yield f"route-map {name} {action} {10 * (index + 1)}"
        yield from (f" {clause}" for clause in clauses)
        yield "exit"
        yield "!"
