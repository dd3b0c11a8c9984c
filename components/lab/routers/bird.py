"""BIRD 2's configuration of a core or an edge router (BIRD User's Guide 2.0, 6.3 BGP).

Large communities `(own ASN, 1, role)` remember where an edge learned a route, as
operators do; they never leave the router. GRACEFUL_SHUTDOWN is RFC 8326.
"""

from __future__ import annotations

from anycastle.model.addresses import Network
from anycastle.model.deployment import Bfd
from components.lab.routers.model import Neighbour, Prefixes, Role, Router, of_family

NODES_DIRECTORY = "/etc/bird/nodes.d"

_PREAMBLE = """\
# Written by the lab's plan. The sessions with nodes are in nodes.d/, one file each.
log syslog all;
router id {router_id};

protocol device {{ scan time 10; }}
protocol bfd {{ }}
"""

_KERNEL = """\
protocol kernel kernel{v} {{
  ipv{v} {{ import none; export where source != RTS_DEVICE && proto != "default{v}"; }};
  merge paths on limit 16;
}}
"""

_CORE_FILTERS = """\
filter core_in {
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
  accept;
}
# A customer announces its own networks and nothing else.
filter edge_in {
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
  if net ~ ANYCAST4 || net ~ ANYCAST6 || net ~ LOOPBACKS4 || net ~ LOOPBACKS6
    || net ~ LINKS4 || net ~ LINKS6 then accept;
  reject;
}
filter core_out { accept; }
filter edge_out { accept; }
"""

_EDGE_FILTERS = """\
function learned(int role) {
  bgp_large_community.delete([(OWN, *, *)]);
  bgp_large_community.add((OWN, 1, role));
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
}
function learned_from(int role) { return (OWN, 1, role) ~ bgp_large_community; }
function unlearn() { bgp_large_community.delete([(OWN, *, *)]); }
function is_anycast() { return net ~ ANYCAST4 || net ~ ANYCAST6; }
function is_pool() { return net ~ POOLS4 || net ~ POOLS6; }
function is_loopback() { return net ~ LOOPBACKS4 || net ~ LOOPBACKS6; }
function is_link() { return net ~ LINKS4 || net ~ LINKS6; }
function is_service() { return net ~ SERVICES4 || net ~ SERVICES6; }

filter node_in {
  learned(NODE);
  if is_anycast() || is_pool() || is_loopback() then accept;
  reject;
}
# Nodes get a default route; what they say of each other reaches them by iBGP.
filter node_out {
  if net = 0.0.0.0/0 || net = ::/0 || is_service() || is_link() then { unlearn(); accept; }
  reject;
}
# The backbone is the second choice for what nodes of this datacentre announce, too.
filter edge_in {
  learned(EDGE);
  if (is_anycast() || is_pool()) && bgp_local_pref > 50 then bgp_local_pref = 50;
  if is_anycast() || is_pool() || is_loopback() || is_link() || is_service() then accept;
  reject;
}
filter edge_out {
  if learned_from(CORE) then reject;
  if is_anycast() || is_pool() || is_loopback() || is_link() || is_service() then {
    unlearn();
    accept;
  }
  reject;
}
# Nobody outside may announce our own prefixes to us.
filter core_in {
  learned(CORE);
  if is_anycast() || is_pool() then reject;
  accept;
}
# Pools and services stay inside, and this is no transit for others.
filter core_out {
  if learned_from(CORE) || learned_from(EDGE) then reject;
  if is_anycast() || is_loopback() || is_link() then { unlearn(); accept; }
  reject;
}
"""


def core(router: Router) -> str:
    """bird.conf of a core: it carries everything, and lets customers announce their own."""
    return "\n".join(
        (
            _PREAMBLE.format(router_id=router.router_id),
            _prefix_sets(router.prefixes),
            _CORE_FILTERS,
            _connected(router),
            _KERNEL.format(v=4) + _KERNEL.format(v=6),
            *(_session(router, neighbour) for neighbour in router.neighbours),
        )
    )


def edge(router: Router) -> str:
    """bird.conf of an edge router; it includes nodes.d/, where `node` blocks go."""
    return "\n".join(
        (
            _PREAMBLE.format(router_id=router.router_id),
            f"define OWN = {router.asn};\ndefine NODE = 1;\ndefine EDGE = 2;\ndefine CORE = 3;",
            _prefix_sets(router.prefixes),
            _EDGE_FILTERS,
            _connected(router),
            _statics(router),
            _KERNEL.format(v=4) + _KERNEL.format(v=6),
            *(_session(router, neighbour) for neighbour in router.neighbours),
            _node_template(router, 4) + _node_template(router, 6),
            f'include "{NODES_DIRECTORY}/*.conf";\n',
        )
    )


def node(neighbour: Neighbour) -> str:
    """A file of nodes.d/: the sessions with one node. Policy is in the template."""
    name = _symbol(neighbour)
    return (
        f"# {neighbour.name}\n"
        f"protocol bgp {name}_v4 from nodes_v4 {{\n"
        f"  local {neighbour.local4};\n  neighbor {neighbour.remote4};\n}}\n"
        f"protocol bgp {name}_v6 from nodes_v6 {{\n"
        f"  local {neighbour.local6};\n  neighbor {neighbour.remote6};\n}}\n"
    )


def _prefix_sets(prefixes: Prefixes) -> str:
    """Two sets (4 and 6) for each kind of network; loopbacks match single addresses."""
    kinds = {
        "ANYCAST": (prefixes.anycast, False),
        "POOLS": (prefixes.pools, False),
        "LOOPBACKS": (prefixes.loopbacks, True),
        "LINKS": (prefixes.links, False),
        "SERVICES": (prefixes.services, False),
    }
    return "\n".join(
        f"define {kind}{version} = [ {_patterns(networks, version, hosts)} ];"
        for kind, (networks, hosts) in kinds.items()
        for version in (4, 6)
    )


def _patterns(networks: tuple[Network, ...], version: int, hosts: bool) -> str:
    """An empty set has no type in BIRD, so an impossible prefix stands for it."""
    chosen = of_family(networks, version)
    if not chosen:
        return "255.255.255.255/32" if version == 4 else "::/128"
    length = 32 if version == 4 else 128
    return ", ".join(f"{net}{{{length},{length}}}" if hosts else str(net) for net in chosen)


def _connected(router: Router) -> str:
    devices = ", ".join(f'"{device}"' for device in dict(router.connected))
    if not devices:
        return ""
    return f"protocol direct {{ ipv4; ipv6; interface {devices}; }}\n"


def _statics(router: Router) -> str:
    """Own aggregates, and the default route that only nodes hear of."""
    blocks = []
    for version, default in ((4, "0.0.0.0/0"), (6, "::/0")):
        routes = "".join(
            f"  route {net} unreachable;\n" for net in of_family(router.aggregates, version)
        )
        blocks.append(f"protocol static aggregates{version} {{\n  ipv{version};\n{routes}}}\n")
        blocks.append(
            f"protocol static default{version} {{\n"
            f"  ipv{version};\n  route {default} unreachable;\n}}\n"
        )
    return "".join(blocks)


def _session(router: Router, neighbour: Neighbour) -> str:
    return _session_of(router, neighbour, 4) + _session_of(router, neighbour, 6)


def _session_of(router: Router, neighbour: Neighbour, version: int) -> str:
    local = neighbour.local4 if version == 4 else neighbour.local6
    remote = neighbour.remote4 if version == 4 else neighbour.remote6
    return (
        f"protocol bgp {_symbol(neighbour)}_v{version} {{\n"
        f"  local {local} as {router.asn};\n"
        f"  neighbor {remote} as {neighbour.asn};\n"
        f"{_timers(neighbour.bfd)}"
        f"{_channel(neighbour.role, version)}}}\n"
    )


def _node_template(router: Router, version: int) -> str:
    return (
        f"template bgp nodes_v{version} {{\n"
        f"  local as {router.asn};\n"
        f"  neighbor as {router.node_asn};\n"
        f"{_timers(router.node_bfd)}"
        f"{_channel(Role.NODE, version)}}}\n"
    )


def _timers(bfd: Bfd) -> str:
    return (
        "  hold time 9;\n  keepalive time 3;\n"
        "  connect delay time 1;\n  connect retry time 2;\n  error wait time 1, 2;\n"
        "  graceful restart off;\n"
        f"  bfd {{ min rx interval {bfd.interval} ms; min tx interval {bfd.interval} ms; "
        f"multiplier {bfd.multiplier}; }};\n"
    )


def _channel(role: Role, version: int) -> str:
    return f"  ipv{version} {{ import filter {role}_in; export filter {role}_out; }};\n"


def _symbol(neighbour: Neighbour) -> str:
    """A protocol's name; the role in front keeps it clear of templates and filters."""
    return f"{neighbour.role}_{neighbour.name}".replace("-", "_").replace(".", "_")
