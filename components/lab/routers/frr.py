"""FRR's configuration of an edge router (docs.frrouting.org, BGP).

The same policy as `bird`: large communities `own ASN:1:role` remember where a route
was learned and never leave the router; GRACEFUL_SHUTDOWN is RFC 8326.

FRR 8.4 makes a new neighbour's BFD session anew when it learns the interface from BGP
(bgpd/bgp_bfd.c, bgp_peer_bfd_update_source), so the first BGP session may last a second.
"""

from __future__ import annotations

from anycastle.model.addresses import Network
from anycastle.model.deployment import Bfd
from components.lab.routers.model import Neighbour, Prefixes, Role, Router, of_family

NODES_DIRECTORY = "/etc/frr/nodes.d"
BASE_FILE = "/etc/frr/base.conf"

_ROLE_NUMBERS = {Role.NODE: 1, Role.EDGE: 2, Role.CORE: 3}
_AFI = {4: "ip", 6: "ipv6"}
_FAMILY = {4: "ipv4", 6: "ipv6"}


# Routes carry their next hops themselves. With kernel next hop groups (FRR's default) the
# kernel drops a member whose link goes down, zebra 8.4 does not notice, and a node that
# comes back stays out of the ECMP route for good.
_OWN_NEXT_HOPS = "no zebra nexthop kernel enable"


def edge(router: Router) -> str:
    """The base configuration; frr.conf is this and the `node` blocks of nodes.d/."""
    return "\n".join(
        (
            f"hostname {router.name}\nlog syslog informational\nservice integrated-vtysh-config",
            f"{_OWN_NEXT_HOPS}\n!",
            _statics(router),
            _lists(router),
            *(_maps(version) for version in (4, 6)),
            _bfd_profiles(router),
            _bgp(router),
            "",
        )
    )


def node(router_asn: int, neighbour: Neighbour) -> str:
    """The sessions with one node. ASN, policy and timers are those of the peer group.

    It is written as FRR itself shows it, else frr-reload finds differences in it.
    """
    lines = [f"router bgp {router_asn}"]
    for version, remote in ((4, neighbour.remote4), (6, neighbour.remote6)):
        lines += [
            f" neighbor {remote} peer-group NODE{version}",
            f" neighbor {remote} description {neighbour.name}",
        ]
    return "\n".join([*lines, "exit", "!", ""])


def _statics(router: Router) -> str:
    """Aggregates stand in the kernel as rejecting routes; links in them are longer."""
    return "\n".join(f"{_AFI[net.version]} route {net} reject" for net in router.aggregates)


def _lists(router: Router) -> str:
    lines = [
        "bgp community-list standard GSHUT permit graceful-shutdown",
        f"bgp large-community-list expanded OWN permit {router.asn}:.*:.*",
    ]
    lines += [
        f"bgp large-community-list standard {role.upper()} permit {router.asn}:1:{number}"
        for role, number in _ROLE_NUMBERS.items()
    ]
    return "\n".join([*lines, *_prefix_lists(router.prefixes), _marking(router.asn)])


def _prefix_lists(prefixes: Prefixes) -> list[str]:
    kinds: tuple[tuple[str, tuple[Network, ...], bool], ...] = (
        ("ANYCAST", prefixes.anycast, False),
        ("POOLS", prefixes.pools, False),
        ("LOOPBACKS", prefixes.loopbacks, True),
        ("LINKS", prefixes.links, False),
        ("SERVICES", prefixes.services, False),
    )
    members = {
        "OWN": ("ANYCAST", "POOLS"),
        "FROM-NODE": ("ANYCAST", "POOLS", "LOOPBACKS"),
        "TO-NODE": ("SERVICES", "LINKS"),
        "INSIDE": ("ANYCAST", "POOLS", "LOOPBACKS", "LINKS", "SERVICES"),
        "OUTSIDE": ("ANYCAST", "LOOPBACKS", "LINKS"),
    }
    lines = []
    for version in (4, 6):
        entries = {
            kind: [_entry(net, hosts) for net in of_family(networks, version)]
            for kind, networks, hosts in kinds
        }
        for name, parts in members.items():
            chosen = [entry for part in parts for entry in entries[part]]
            lines += [
                f"{_AFI[version]} prefix-list {name}{version} seq {5 * (i + 1)} permit {entry}"
                for i, entry in enumerate(chosen)
            ]
        anything = "0.0.0.0/0" if version == 4 else "::/0"
        lines.append(f"{_AFI[version]} prefix-list TO-NODE{version} seq 1000 permit {anything}")
    return lines


def _entry(network: Network, hosts: bool) -> str:
    return f"{network} ge {network.max_prefixlen}" if hosts else str(network)


def _marking(asn: int) -> str:
    """Remember the neighbour's role; the route that is about to go is the last choice."""
    blocks = []
    for role, number in _ROLE_NUMBERS.items():
        blocks.append(
            f"route-map LEARNED-{role.upper()} permit 5\n"
            f" set large-comm-list OWN delete\n"
            f" on-match next\nexit\n!\n"
            f"route-map LEARNED-{role.upper()} permit 10\n"
            f" match community GSHUT\n"
            f" set local-preference 0\n"
            f" set large-community {asn}:1:{number} additive\n"
            f"exit\n!\n"
            f"route-map LEARNED-{role.upper()} permit 20\n"
            f" set large-community {asn}:1:{number} additive\n"
            f"exit\n!"
        )
    return "\n".join(blocks)


def _maps(version: int) -> str:
    address = f"match {_AFI[version]} address prefix-list"
    return f"""\
route-map NODE-IN{version} permit 10
 {address} FROM-NODE{version}
 call LEARNED-NODE
exit
!
route-map NODE-OUT{version} permit 10
 {address} TO-NODE{version}
 set large-comm-list OWN delete
exit
!
route-map EDGE-IN{version} permit 10
 {address} OWN{version}
 match community GSHUT
 call LEARNED-EDGE
exit
!
route-map EDGE-IN{version} permit 20
 {address} OWN{version}
 call LEARNED-EDGE
 set local-preference 50
exit
!
route-map EDGE-IN{version} permit 30
 {address} INSIDE{version}
 call LEARNED-EDGE
exit
!
route-map EDGE-OUT{version} deny 10
 match large-community CORE
exit
!
route-map EDGE-OUT{version} permit 20
 {address} INSIDE{version}
 set large-comm-list OWN delete
exit
!
route-map CORE-IN{version} deny 10
 {address} OWN{version}
exit
!
route-map CORE-IN{version} permit 20
 call LEARNED-CORE
exit
!
route-map CORE-OUT{version} deny 10
 match large-community CORE
exit
!
route-map CORE-OUT{version} deny 20
 match large-community EDGE
exit
!
route-map CORE-OUT{version} permit 30
 {address} OUTSIDE{version}
 set large-comm-list OWN delete
exit
!"""


def _bfd_profiles(router: Router) -> str:
    lines = ["bfd", *_bfd_profile("node", router.node_bfd)]
    if router.neighbours:
        lines += _bfd_profile("upstream", router.neighbours[0].bfd)
    return "\n".join([*lines, "exit", "!"])


def _bfd_profile(name: str, bfd: Bfd) -> list[str]:
    return [
        f" profile {name}",
        f"  detect-multiplier {bfd.multiplier}",
        f"  transmit-interval {bfd.interval}",
        f"  receive-interval {bfd.interval}",
        " exit",
        " !",
    ]


def _bgp(router: Router) -> str:
    lines = [
        f"router bgp {router.asn}",
        f" bgp router-id {router.router_id}",
        " no bgp default ipv4-unicast",
        # Else a neighbour keeps a dead daemon's routes for two minutes.
        " bgp graceful-restart-disable",
        " coalesce-time 0",
        " timers bgp 3 9",
        *(line for version in (4, 6) for line in _node_group(router.node_asn, version)),
        *(line for neighbour in router.neighbours for line in _upstream(neighbour)),
        *(line for version in (4, 6) for line in _address_family(router, version)),
    ]
    return "\n".join([*lines, "exit", "!"])


def _node_group(asn: int, version: int) -> list[str]:
    group = f" neighbor NODE{version}"
    return [
        f"{group} peer-group",
        f"{group} remote-as {asn}",
        f"{group} advertisement-interval 0",
        f"{group} timers connect 2",
        f"{group} bfd",
        f"{group} bfd profile node",
    ]


def _upstream(neighbour: Neighbour) -> list[str]:
    lines = []
    for remote in (neighbour.remote4, neighbour.remote6):
        lines += [
            f" neighbor {remote} remote-as {neighbour.asn}",
            f" neighbor {remote} description {neighbour.name}",
            f" neighbor {remote} advertisement-interval 0",
            f" neighbor {remote} timers connect 2",
            f" neighbor {remote} bfd",
            f" neighbor {remote} bfd profile upstream",
        ]
    return lines


def _address_family(router: Router, version: int) -> list[str]:
    announced = (*router.aggregates, *(network for _, network in router.connected))
    lines = [f" address-family {_FAMILY[version]} unicast", "  maximum-paths 16"]
    lines += [f"  network {network}" for network in of_family(announced, version)]
    lines += _policy(f"NODE{version}", Role.NODE, version)
    lines.append(f"  neighbor NODE{version} default-originate")
    for neighbour in router.neighbours:
        remote = neighbour.remote4 if version == 4 else neighbour.remote6
        lines += _policy(str(remote), neighbour.role, version)
    return [*lines, " exit-address-family", " !"]


def _policy(neighbour: str, role: Role, version: int) -> list[str]:
    return [
        f"  neighbor {neighbour} activate",
        f"  neighbor {neighbour} soft-reconfiguration inbound",
        f"  neighbor {neighbour} route-map {role.upper()}-IN{version} in",
        f"  neighbor {neighbour} route-map {role.upper()}-OUT{version} out",
    ]
