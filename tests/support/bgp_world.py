"""Nodes with real daemons, one edge router and the inter-node path, in namespaces.

    client --wg0-- node 1 --up0--+
                   node 2 -------+-- edge (BIRD, AS 64601), a default route
                   node 3 -------+
    nodes 1..n: fabric0 (VXLAN between loopbacks)

wg0 is a veth pair here: routing does not care what WireGuard would do.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    IPv6Address,
    IPv6Interface,
    IPv6Network,
)
from pathlib import Path
from typing import Any

from anycastle.agent.routing.bird import BirdDriver
from anycastle.agent.routing.driver import Driver
from anycastle.agent.routing.frr import FrrDriver
from anycastle.agent.routing.plan import families
from anycastle.model.addresses import (
    Dual,
    client_next_hop,
    fabric_interface,
    fabric_mac,
    tunnel_gateway,
)
from anycastle.model.deployment import Anycast, Routing
from anycastle.model.node import ControlEndpoint, EdgePeer, Loopbacks, NodeSpec, Peer
from tests.support.bgp_node import Daemons, Node, Speaker
from tests.support.namespaces import Namespace, namespaces, run
from tests.support.waiting import wait_for

EDGE_ASN = 64601
ANYCAST = ("192.0.2.0/24", "2001:db8:a::/48")


def node_spec(number: int, routing: Routing) -> NodeSpec:
    """Node `number` behind the edge."""
    near, far = 2 * number + 1, 2 * number
    return NodeSpec(
        deployment="test",
        name=f"node-{number}",
        datacentre="ams",
        asn=64512,
        loopbacks=loopbacks(number),
        anycast=Anycast(
            addresses=(IPv4Address("192.0.2.1"), IPv6Address("2001:db8:a::1")),
            prefixes=(IPv4Network(ANYCAST[0]), IPv6Network(ANYCAST[1])),
        ),
        pools=Dual(IPv4Network("10.200.0.0/14"), IPv6Network("fd00:200::/64")),
        routing=routing,
        edges=(
            EdgePeer(
                name="edge",
                asn=EDGE_ASN,
                device="up0",
                local4=IPv4Interface(f"10.65.1.{near}/31"),
                local6=IPv6Interface(f"fd00:65:1::{near:x}/127"),
                remote4=IPv4Address(f"10.65.1.{far}"),
                remote6=IPv6Address(f"fd00:65:1::{far:x}"),
            ),
        ),
        control=ControlEndpoint(urls=("https://198.51.100.17:8443",)),
    )


def loopbacks(number: int) -> Loopbacks:
    return Loopbacks(IPv4Address(f"10.64.0.{number}"), IPv6Address(f"fd00:64::{number}"))


def veth(left: Namespace, left_device: str, right: Namespace, right_device: str) -> None:
    """A veth pair, both ends up."""
    run(
        f"ip link add {left_device} netns {left.name} type veth "
        f"peer name {right_device} netns {right.name}"
    )
    run(f"ip -n {left.name} link set {left_device} up")
    run(f"ip -n {right.name} link set {right_device} up")


def add_address(space: Namespace, device: str, address: str) -> None:
    """Usable at once: IPv6 without duplicate address detection."""
    nodad = " nodad" if ":" in address else ""
    run(f"ip -n {space.name} address add {address} dev {device}{nodad}")


def peer(spec: NodeSpec) -> Peer:
    return Peer(name=spec.name, datacentre=spec.datacentre, loopbacks=spec.loopbacks)


@dataclass
class World:
    nodes: list[Node]
    edge: Namespace
    edge_daemons: Daemons
    edge_socket: Path
    client: Namespace

    @property
    def peers(self) -> list[Peer]:
        return [peer(node.spec) for node in self.nodes]

    def peers_of(self, node: Node) -> list[Peer]:
        return [peer(other.spec) for other in self.nodes if other is not node]

    def load(self) -> None:
        for node in self.nodes:
            node.load(self.peers_of(node))

    def speak(self) -> list[Speaker]:
        """A new speaker on every node, all sessions up, its initial state complete."""
        speakers = [node.speak() for node in self.nodes]
        for speaker in speakers:
            wait_for("the speaker's sessions are up", speaker.up, 15)
            speaker.tell(complete=True)
        return speakers

    def settled(self) -> bool:
        """Every session but the agents' is up, and watched by BFD.

        A session comes up seconds before its BFD session does; until then a dead
        neighbour is found out by the hold time only.
        """
        for node in self.nodes:
            state = asyncio.run(node.driver.state())
            if not state.running or not all(p.up for p in state.peerings if p.kind != "agent"):
                return False
        return all(node.watched_by_bfd() for node in self.nodes)

    def at_edge(self, prefix: str) -> dict[str, dict[str, Any]]:
        """What the edge holds from each node, by name: {"med": …, "gshut": …}."""
        table = birdc(self.edge_socket, f"show route {prefix} all")
        found: dict[str, dict[str, Any]] = {}
        for line in table.splitlines():
            if "[node-" in line:
                name = line.partition("[")[2].split()[0].rpartition("-")[0]
                found[name] = {"med": None, "gshut": False}
            elif "BGP.med" in line:
                found[name]["med"] = int(line.split()[-1])
            elif "BGP.community" in line:
                found[name]["gshut"] = "(65535,0)" in line
        return found


def birdc(socket: Path, line: str) -> str:
    done = subprocess.run(
        ["birdc", "-s", str(socket), *line.split()], capture_output=True, text=True, check=False
    )
    return done.stdout


@contextmanager
def world(folder: Path, daemons: Sequence[Routing]) -> Iterator[World]:
    """A world with one node for each daemon, numbered from 1, all sessions up."""
    with ExitStack() as stack:
        roles = [f"n{number}" for number in range(1, len(daemons) + 1)]
        spaces = stack.enter_context(namespaces("edge", "client", *roles))
        edge, client, *node_spaces = spaces
        nodes = []
        for number, (space, routing) in enumerate(zip(node_spaces, daemons, strict=True), 1):
            node = _node(stack, folder, space, node_spec(number, routing))
            nodes.append(node)
            _wire(node, edge, client if number == 1 else None)
        for node in nodes:
            _fabric(node, [other for other in nodes if other is not node])
        edge_daemons, socket = _edge(stack, folder, edge, nodes)
        made = World(nodes, edge, edge_daemons, socket, client)
        made.load()
        wait_for("all BGP sessions are up", made.settled, 30)
        yield made


def _node(stack: ExitStack, folder: Path, space: Namespace, spec: NodeSpec) -> Node:
    own = folder / spec.name
    own.mkdir()
    other = Daemons("none", space)
    if spec.routing is Routing.BIRD:
        config, socket = own / "bird.conf", own / "bird.ctl"
        words = ["bird", "-f", "-c", str(config), "-s", str(socket), "-P", str(own / "bird.pid")]
        daemons = Daemons("bird", space, [words], own)
        driver: Driver = BirdDriver(
            config=config, socket=socket, unit=None, service=daemons, other=other
        )
    else:
        daemons = _frr_daemons(stack, space, own)
        driver = FrrDriver(
            folder=Path("/etc/frr", space.name),
            pathspace=space.name,
            unit=None,
            service=daemons,
            other=other,
        )
    node = Node(spec, space, own, daemons, driver)
    stack.callback(node.end)
    return node


def _frr_daemons(stack: ExitStack, space: Namespace, own: Path) -> Daemons:
    """zebra, staticd, bgpd and bfdd in a pathspace named after the namespace."""
    for base in ("/etc/frr", "/var/run/frr"):
        place = Path(base, space.name)
        place.mkdir(parents=True)
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        shutil.chown(place, "frr", "frr")
    commands = [
        [f"/usr/lib/frr/{name}", "-N", space.name, "-A", "127.0.0.1", "--log", "stdout"]
        for name in ("zebra", "staticd", "bgpd", "bfdd")
    ]
    return Daemons("frr", space, commands, own)


def _wire(node: Node, edge: Namespace, client: Namespace | None) -> None:
    space, spec = node.space, node.spec
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        space.run(f"sysctl -qw {key}=1")
    for loopback in (spec.loopbacks.v4, spec.loopbacks.v6, *spec.anycast.addresses):
        add_address(space, "lo", f"{loopback}/{loopback.max_prefixlen}")
    link = spec.edges[0]
    veth(space, "up0", edge, spec.name)
    for local, remote in ((link.local4, link.remote4), (link.local6, link.remote6)):
        assert local is not None, "this world's links are of both families"
        add_address(space, "up0", str(local))
        add_address(edge, spec.name, f"{remote}/{local.network.prefixlen}")
    veth(space, "wg0", client or space, "wg0x")
    for family in families(spec):
        add_address(space, "wg0", str(tunnel_gateway(family.pool)))
        if client:
            hop = client_next_hop(family.pool)
            add_address(client, "wg0x", f"{hop}/{family.tunnel.prefixlen}")
            version = family.version
            gateway = tunnel_gateway(family.pool).ip
            run(f"ip -n {client.name} -{version} route add default via {gateway}")


def _fabric(node: Node, others: Sequence[Node]) -> None:
    """What the agent's data path does on a node."""
    spec, fabric, at = node.spec, node.spec.fabric, f"-n {node.space.name}"
    own = spec.loopbacks.v4
    run(
        f"ip {at} link add {fabric.device} address {fabric_mac(own)} mtu {fabric.mtu} type vxlan "
        f"id {fabric.vni} local {own} dstport {fabric.port} nolearning"
    )
    run(f"ip {at} link set {fabric.device} up")
    for network in fabric.networks:
        add_address(node.space, fabric.device, str(fabric_interface(network, own)))
    for other in others:
        loopback = other.spec.loopbacks.v4
        mac = fabric_mac(loopback)
        run(f"bridge {at} fdb replace {mac} dev {fabric.device} dst {loopback} self permanent")
        for network in fabric.networks:
            address = fabric_interface(network, loopback).ip
            run(f"ip {at} neigh replace {address} lladdr {mac} dev {fabric.device} nud permanent")


def _edge(
    stack: ExitStack, folder: Path, space: Namespace, nodes: Sequence[Node]
) -> tuple[Daemons, Path]:
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        space.run(f"sysctl -qw {key}=1")
    own = folder / "edge"
    own.mkdir()
    config, socket = own / "bird.conf", own / "bird.ctl"
    config.write_text(_edge_config(nodes))
    words = ["bird", "-f", "-c", str(config), "-s", str(socket), "-P", str(own / "bird.pid")]
    daemons = Daemons("bird", space, [words], own)
    stack.callback(daemons.kill, signal.SIGTERM)
    asyncio.run(daemons.start())
    return daemons, socket


def _edge_config(nodes: Sequence[Node]) -> str:
    parts = ["router id 10.64.0.201;", "protocol device {}", "protocol bfd {"]
    parts += [' interface "node-*" { interval 50 ms; multiplier 3; };', "}"]
    for version, default in ((4, "0.0.0.0/0"), (6, "::/0")):
        parts.append(
            f"protocol static static{version} {{ ipv{version}; route {default} unreachable; }}\n"
            f"protocol kernel {{ merge paths on; ipv{version} {{ export where source = RTS_BGP; }}; }}"
        )
    for node in nodes:
        for version in (4, 6):
            parts.append(_edge_peering(node.spec, version))
    return "\n".join(parts)


def _edge_peering(spec: NodeSpec, version: int) -> str:
    link = spec.edges[0]
    ends = link.session(version)
    assert ends is not None, "this world's links are of both families"
    far, near = ends
    return f"""
protocol bgp '{spec.name}-{version}' {{
    local {near} as {EDGE_ASN}; neighbor {far} as {spec.asn};
    bfd on; hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 2;
    ipv{version} {{ import all; export where net.len = 0 || net.len = {32 if version == 4 else 128}; }};
}}"""
