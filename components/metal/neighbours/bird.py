"""BIRD 2 (User's Guide 2.0, 6.3 BGP): a file to include from bird.conf.

The router's own configuration has `protocol device`, `protocol kernel` with `merge paths`
and `protocol bfd`, which are one for all neighbours.
"""

from __future__ import annotations

from anycastle.model.addresses import Network
from components.metal.neighbours.model import HOLD, KEEPALIVE, LIMIT, PATHS, Edge, of_family

_HEAD = """\
# Sessions with the nodes of {name}. Include it from bird.conf, which has
#   protocol bfd {{ }}
#   protocol kernel {{ merge paths on limit {paths}; ... }}  (once for each family)
# and, in the kernel, net.ipv4.fib_multipath_hash_policy = 1 (and ipv6): L4 hashing.
filter anycastle_in {{
  if net !~ ANYCASTLE4 && net !~ ANYCASTLE6 then reject;
  if (65535, 0) ~ bgp_community then bgp_local_pref = 0;
  accept;
}}
filter anycastle_out {{
  if net = 0.0.0.0/0 || net = ::/0 || net ~ ANYCASTLE_SERVICES4 || net ~ ANYCASTLE_SERVICES6
    then accept;
  reject;
}}
"""


def render(edge: Edge) -> str:
    """The file's text."""
    sets = [
        _set(f"ANYCASTLE{version}", edge.accepted, edge.hosts, version) for version in (4, 6)
    ] + [_set(f"ANYCASTLE_SERVICES{version}", edge.offered, (), version) for version in (4, 6)]
    return "\n".join(
        [
            *sets,
            _HEAD.format(name=edge.name, paths=PATHS),
            *(_template(edge, version) for version in (4, 6)),
            *(
                f"protocol bgp {_symbol(node.name)}_v{version} from anycastle_v{version} "
                f"{{ neighbor {node.address(version)}; }}"
                for node in edge.nodes
                for version in (4, 6)
            ),
            "",
        ]
    )


def _set(name: str, exact: tuple[Network, ...], hosts: tuple[Network, ...], version: int) -> str:
    """An empty set has no type in BIRD, so an impossible prefix stands for it."""
    length = 32 if version == 4 else 128
    patterns = [str(network) for network in of_family(exact, version)]
    patterns += [f"{network}{{{length},{length}}}" for network in of_family(hosts, version)]
    none = "255.255.255.255/32" if version == 4 else "::/128"
    return f"define {name} = [ {', '.join(patterns) or none} ];"


def _template(edge: Edge, version: int) -> str:
    bfd = edge.bfd
    return f"""\
template bgp anycastle_v{version} {{
  local as {edge.asn};
  neighbor as {edge.node_asn};
  hold time {HOLD};
  keepalive time {KEEPALIVE};
  connect delay time 1;
  connect retry time 2;
  error wait time 1, 2;
  graceful restart off;
  bfd {{ min rx interval {bfd.interval} ms; min tx interval {bfd.interval} ms; \
multiplier {bfd.multiplier}; }};
  ipv{version} {{
    import filter anycastle_in;
    import limit {LIMIT} action disable;
    export filter anycastle_out;
  }};
}}"""


def _symbol(name: str) -> str:
    return f"node_{name}".replace("-", "_").replace(".", "_")
