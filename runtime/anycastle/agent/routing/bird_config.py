"""BIRD 2's configuration for one node, as text. Pure.

Options used are those of BIRD 2.0.12 (Debian 12); the policy is plan.py's table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from anycastle.agent.routing.plan import (
    AGENT_ANYCAST,
    AGENT_CLIENT,
    BEACONS,
    FABRIC_BFD,
    HOLD_TIME,
    KEEPALIVE_TIME,
    Family,
    families,
)
from anycastle.model.addresses import Address, Network, fabric_interface
from anycastle.model.deployment import Bfd
from anycastle.model.node import EdgePeer, NodeSpec, Peer

RX_BUFFER = 134217728
"""Bytes of netlink receive buffer: 100,000 routes at once overflow the default."""

TIMERS = f"""\
    hold time {HOLD_TIME};
    keepalive time {KEEPALIVE_TIME};
    connect delay time 1;
    connect retry time 1;
    error wait time 1, 2;
    graceful restart off;  # a node that is gone is gone
    long lived graceful restart off;"""


def bird_config(spec: NodeSpec, peers: Sequence[Peer]) -> str:
    """The whole of bird.conf."""
    both = families(spec)
    parts = [
        _header(spec),
        *(_filters(family) for family in both),
        *(_kernel(family) for family in both),
        _bfd(spec),
        *(
            _edge(spec, edge, family.version, session)
            for edge in spec.edges
            for family in both
            if (session := edge.session(family.version))
        ),
        *(_peer(spec, peer, both) for peer in peers),
        _agent(spec, "client", str(AGENT_CLIENT), (4, 6)),
        _agent(spec, "anycast", str(AGENT_ANYCAST), (4, 6)),
    ]
    return "\n".join(parts)


def _header(spec: NodeSpec) -> str:
    return f"""\
# Node {spec.name}: written by anycastle-agent, which overwrites changes.

log stderr {{ info, remote, warning, error, auth, fatal, bug }};
router id {spec.loopbacks.v4};

protocol device {{ }}

# What is on link: the node's loopbacks, and the next hop of its own clients.
protocol direct connected {{
    ipv4;
    ipv6;
    interface "lo", "{spec.wireguard.device}";
}}
"""


def _set(networks: Iterable[Network], suffix: str = "") -> str:
    return "[ " + ", ".join(f"{network}{suffix}" for network in networks) + " ]"


def _filters(family: Family) -> str:
    v, length = family.version, family.length
    return f"""\
# --- IPv{v} policy

function is_client{v}() {{ return net ~ [ {family.pool}{{{length},{length}}} ]; }}
function is_aggregate{v}() {{ return net ~ {_set(family.aggregates)}; }}
function is_beacon{v}() {{ return {_beacon_test(v)}; }}

filter from_agent_client{v} {{ if is_client{v}() then accept; reject; }}
filter from_agent_anycast{v} {{ if is_aggregate{v}() || is_beacon{v}() then accept; reject; }}
filter from_peer{v} {{ if is_client{v}() || is_beacon{v}() then accept; reject; }}

filter to_agent_client{v} {{
    if proto != "agent-client" && dest = RTD_UNICAST && is_client{v}() then accept;
    reject;
}}

filter to_agent_anycast{v} {{
    if proto != "agent-anycast" && dest = RTD_UNICAST && is_beacon{v}() then accept;
    reject;
}}

# Of this node's own agent only; what other nodes sent is theirs to send.
filter to_peer{v} {{
    if dest != RTD_UNICAST then reject;
    if proto = "agent-client" && is_client{v}() then accept;
    if proto = "agent-anycast" && is_beacon{v}() then accept;
    reject;
}}

filter from_edge{v} {{
    if net ~ {_set(family.own, "+")} then reject;
    if net = {family.loopback}/{length} || is_beacon{v}() then reject;
    if (65535, 0) ~ bgp_community then bgp_local_pref = 0;  # RFC 8326
    accept;
}}

filter to_edge{v} {{
    if source = RTS_DEVICE && net = {family.loopback}/{length} then accept;
    if proto != "agent-anycast" || dest != RTD_UNICAST || !is_aggregate{v}() then reject;
    # BIRD drops a MED towards another AS unless the filter sets it.
    if defined(bgp_med) then bgp_med = bgp_med;
    accept;
}}

filter to_kernel{v} {{
    if source != RTS_BGP || dest != RTD_UNICAST then reject;
    if is_aggregate{v}() || is_beacon{v}() then reject;
    # The node's own packets come from its loopback, whichever uplink they take.
    if !is_client{v}() then krt_prefsrc = {family.loopback};
    accept;
}}
"""


def _beacon_test(version: int) -> str:
    return f"net ~ [ {BEACONS}{{128,128}} ]" if version == 6 else "false"


def _kernel(family: Family) -> str:
    v = family.version
    return f"""\
protocol kernel kernel{v} {{
    merge paths on;
    netlink rx buffer {RX_BUFFER};
    scan time 20;
    ipv{v} {{ import none; export filter to_kernel{v}; }};
}}

# Without the WireGuard device its network leads nowhere, in place of the default route.
protocol static tunnel{v} {{
    ipv{v} {{ preference 1; }};
    route {family.tunnel} unreachable;
}}
"""


def _bfd(spec: NodeSpec) -> str:
    timers: dict[str, Bfd] = {edge.device: edge.bfd for edge in spec.edges}
    timers[spec.fabric.device] = FABRIC_BFD
    lines = (
        f'    interface "{device}" {{ interval {bfd.interval} ms; multiplier {bfd.multiplier}; }};'
        for device, bfd in timers.items()
    )
    return "protocol bfd {\n" + "\n".join(lines) + "\n}\n"


def _edge(spec: NodeSpec, edge: EdgePeer, v: int, session: tuple[Address, Address]) -> str:
    local, remote = session
    return f"""\
protocol bgp 'edge-{edge.name}-{v}' {{
    local {local} as {spec.asn};
    neighbor {remote} as {edge.asn};
    interface "{edge.device}";
    bfd on;
{TIMERS}
    allow local as 1;  # loopbacks of the deployment's nodes come back through the edge
    ipv{v} {{
        import filter from_edge{v};
        export filter to_edge{v};
        next hop self;
    }};
}}
"""


def _peer(spec: NodeSpec, peer: Peer, both: tuple[Family, Family]) -> str:
    remote = fabric_interface(spec.fabric.networks.v4, peer.loopbacks.v4).ip
    return f"""\
protocol bgp 'peer-{peer.name}' {{
    local {both[0].fabric_address} as {spec.asn};
    neighbor {remote} as {spec.asn};
    interface "{spec.fabric.device}";
    direct;
    bfd on;
{TIMERS}
{_lines(_peer_channel(family) for family in both)}
}}
"""


def _peer_channel(family: Family) -> Iterator[str]:
    v = family.version
    yield f"    ipv{v} {{"
    yield f"        import filter from_peer{v};"
    yield f"        export filter to_peer{v};"
    yield "        next hop self;"
    yield f"        next hop address {family.fabric_address};"
    yield "    };"


def _agent(spec: NodeSpec, session: str, address: str, versions: tuple[int, ...]) -> str:
    channels = _lines(_agent_channel(session, version) for version in versions)
    return f"""\
protocol bgp 'agent-{session}' {{
    local {spec.loopbacks.v4} as {spec.asn};
    neighbor {address} as {spec.asn};
    multihop;
    passive;
    rr client;
    hold time 240;  # the agent proposes less
    error wait time 1, 2;
    graceful restart aware;
    long lived graceful restart off;
{channels}
}}
"""


def _agent_channel(session: str, version: int) -> Iterator[str]:
    yield f"    ipv{version} {{"
    yield f"        import filter from_agent_{session}{version};"
    yield f"        export filter to_agent_{session}{version};"
    yield "    };"


def _lines(blocks: Iterable[Iterable[str]]) -> str:
    return "\n".join(line for block in blocks for line in block)
