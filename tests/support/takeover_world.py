"""Two nodes with WireGuard and a packet path each, and a stock client behind NAT.

    client ── c0 ══ n0 ── nat ── w0 ══ w1 ── far ─┬─ up0 ══ up0 ── one ─┐
                                                  └─ up1 ══ up0 ── two ─┴ l0, fabric0

The nodes are brought up by the agent's reconcile, with the WireGuard that this machine
has. What the agent does with a packet path's events is done by `take_over` and `let_go`,
in its order but without its loop, routing and timers.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from typing import cast

import msgspec

from anycastle.agent.apply import reconcile
from anycastle.agent.desired import desired, peers_of
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.takeover.path import EventKind, PacketEvent, PacketPath
from anycastle.agent.wireguard.choose import choose_edge
from anycastle.agent.wireguard.edge import Initiate, PeerConfig, PeerSample, WireGuardEdge
from anycastle.model.addresses import Endpoint
from anycastle.model.client import Credential
from anycastle.model.node import Loopbacks, NodeSpec, Peer
from tests.support.namespaces import Namespace, join, namespaces, unique_device
from tests.support.node import (
    ANYCAST4,
    ANYCAST6,
    NOW,
    SERVICE_KEY,
    client,
    clients,
    node_spec,
    uplink,
)
from tests.support.path_world import FABRIC, LOOPBACKS, PORT, Inside, MakePath, wire_uplink
from tests.support.waiting import wait_for
from tests.support.wireguard import (
    PRESHARED,
    SERVICE_PUBLIC_KEY,
    Daemons,
    make_client,
    public_key,
    running_daemons,
)

GATEWAY = "10.200.0.1"
"""The tunnel's own end, on every node: an answer to a ping comes from the one that decrypted it."""


@dataclass
class TakeoverNode:
    """A node. space: its namespace. path: its calls may be made from any namespace."""

    space: Namespace
    spec: NodeSpec
    edge: WireGuardEdge
    path: PacketPath
    peer: PeerConfig

    @property
    def loopback(self) -> IPv4Address:
        return self.spec.loopbacks.v4

    def sample(self) -> PeerSample:
        """What WireGuard knows of the client."""
        (found,) = self.edge.sample()
        return found

    def foreign(self, timeout: float = 20.0) -> PacketEvent:
        """The report of the client's next packet."""
        found: list[PacketEvent] = []

        def reported() -> bool:
            found.extend(event for event in self.path.drain() if event.kind is EventKind.FOREIGN)
            return bool(found)

        wait_for("a foreign packet's report", reported, timeout, every=0.005)
        return found[0]

    def keepalive(self) -> str:
        """As `wg` shows it: seconds, or off."""
        dump = self.space.run(f"wg show {self.spec.wireguard.device} persistent-keepalive")
        return dump.split()[1]


@dataclass
class TakeoverWorld:
    """far: the edge router, whose route decides which node the client reaches."""

    far: Namespace
    nat: Namespace
    client: Namespace
    client_device: str
    one: TakeoverNode
    two: TakeoverNode

    def route_to(self, node: TakeoverNode) -> None:
        """As BGP moves the anycast prefixes."""
        number = (self.one, self.two).index(node)
        self.far.batch(
            f"route replace {ANYCAST4} via 10.65.{number}.3",
            f"route replace {ANYCAST6} via fd00:65:{number}::3",
        )

    def connect(self, version: int = 4) -> None:
        """The client begins anew, at the node that the route leads to."""
        key, where = SERVICE_PUBLIC_KEY.text, f"[{ANYCAST6}]" if version == 6 else ANYCAST4
        self.client.run(f"wg set {self.client_device} peer {key} remove")
        secret = Path("/run", f"{self.client_device}.psk")
        secret.write_text(PRESHARED.text)
        try:
            self.client.run(
                f"wg set {self.client_device} peer {key} preshared-key {secret} "
                f"allowed-ips 10.200.0.0/16 endpoint {where}:{PORT} persistent-keepalive 25"
            )
        finally:
            secret.unlink()
        wait_for("a session", lambda: self.ping() == 0, 60)

    def ping(self, count: int = 1) -> int:
        """Pings through the tunnel; how many were lost."""
        text = self.client.run(f"ping -q -c {count} -i 0.2 -W 2 {GATEWAY}", check=False)
        found = re.search(r"(\d+) packets transmitted, (\d+) received", text)
        assert found, text
        return int(found[1]) - int(found[2])

    def received(self, node: TakeoverNode) -> int:
        """Packets that the edge router has got from the node."""
        device = f"up{(self.one, self.two).index(node)}"
        shown = self.far.run(f"cat /sys/class/net/{device}/statistics/rx_packets")
        return int(shown)


def take_over(node: TakeoverNode, timeout: float = 20.0) -> tuple[Endpoint, float]:
    """At the client's next packet; its endpoint, and seconds from the report to the session."""
    event = node.foreign(timeout)
    before = node.sample()
    node.edge.set([Initiate(node.peer, event.endpoint)])

    def confirmed() -> bool:
        now = node.sample()
        return now.latest_handshake > before.latest_handshake and now.received > before.received

    wait_for("the client's answer", confirmed, timeout, every=0.005)
    return event.endpoint, time.monotonic() - event.at


def let_go(node: TakeoverNode, endpoint: Endpoint) -> None:
    """What the node that lost the client does, some seconds after."""
    node.edge.reset_peer(node.peer)
    node.path.forget([endpoint])


@contextmanager
def takeover_world(make: MakePath, folder: Path, *, delay: str = "") -> Iterator[TakeoverWorld]:
    """folder: of daemons' output. delay: one way between NAT and edge, as netem takes it."""
    with ExitStack() as stack:
        spaces = stack.enter_context(namespaces("client", "nat", "far", "one", "two"))
        processes = stack.enter_context(running_daemons(folder))
        home, nat, far, *places = spaces
        _wire_client(home, nat, far, delay)
        _wire_nodes(far, *places)
        device = unique_device()
        with home.entered():
            edge = choose_edge(device)
        edge.close()
        key = public_key(make_client(home, device, edge.kind, processes))
        credential = Credential(id="a", public_key=key, preshared_key=PRESHARED)
        nodes = [
            _node(stack, space, number, make, processes, credential)
            for number, space in enumerate(places)
        ]
        world = TakeoverWorld(far, nat, home, device, *nodes)
        world.route_to(world.one)
        yield world


def _node(
    stack: ExitStack,
    space: Namespace,
    number: int,
    make: MakePath,
    processes: Daemons,
    credential: Credential,
) -> TakeoverNode:
    spec, other = _spec(number), _spec(1 - number)
    device = spec.wireguard.device
    stack.callback(processes.stop, device)
    with space.entered():
        edge = choose_edge(device, start=processes.starter(space), stop=processes.stop)
        stack.callback(edge.close)
        network = KernelNetwork()
        stack.callback(network.close)
        enrolled = clients(client(0, credential))
        peers = [Peer(name=other.name, datacentre="ams", loopbacks=other.loopbacks)]
        done = reconcile(desired(spec, SERVICE_KEY, enrolled, NOW, peers), edge, network)
        assert done.failed == (), done.failed
        path = cast(PacketPath, Inside(space, make(spec)))
    stack.callback(path.close)
    stack.callback(path.remove)
    path.ensure(["up0"], FABRIC.device)
    path.trust(True)
    # The routing daemon's part: the client's addresses are behind the device.
    space.batch(*(f"route replace {one} dev {device}" for one in client(0).addresses))
    (peer,) = peers_of(enrolled.values(), NOW).values()
    return TakeoverNode(space, spec, edge, path, peer)


def _spec(number: int) -> NodeSpec:
    loopbacks = Loopbacks(LOOPBACKS[number], IPv6Address(f"fd00:64::{number + 1:x}"))
    edge = msgspec.structs.replace(uplink(number), device="up0")
    return msgspec.structs.replace(
        node_spec(device=unique_device()),
        name=f"ams-{number + 1}",
        loopbacks=loopbacks,
        edges=(edge,),
    )


def _wire_client(home: Namespace, nat: Namespace, far: Namespace, delay: str) -> None:
    join(home, "c0", nat, "n0")
    join(nat, "w0", far, "w1")
    home.batch(
        "address add 192.168.1.2/24 dev c0",
        "address add fd00:1::2/64 dev c0 nodad",
        "link set c0 up",
        "route add default via 192.168.1.1",
        "route add default via fd00:1::1",
    )
    nat.batch(
        "address add 192.168.1.1/24 dev n0",
        "address add fd00:1::1/64 dev n0 nodad",
        "link set n0 up",
        "address add 203.0.113.2/24 dev w0",
        "address add 2001:db8:1::2/64 dev w0 nodad",
        "link set w0 up",
        "route add default via 203.0.113.1",
        "route add default via 2001:db8:1::1",
    )
    far.batch(
        "address add 203.0.113.1/24 dev w1",
        "address add 2001:db8:1::1/64 dev w1 nodad",
        "link set w1 up",
    )
    for router in (nat, far):
        router.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    nat.run("nft add table inet nat")
    nat.run("nft add chain inet nat out { type nat hook postrouting priority 100 ; }")
    nat.run("nft add rule inet nat out oifname w0 masquerade")
    if delay:
        nat.run(f"tc qdisc add dev w0 root netem delay {delay}")
        far.run(f"tc qdisc add dev w1 root netem delay {delay}")


def _wire_nodes(far: Namespace, one: Namespace, two: Namespace) -> None:
    join(one, "l0", two, "l0")
    for number, node in enumerate((one, two)):
        wire_uplink(far, node, number)
        node.batch(
            "link set l0 up",
            f"address add 10.66.0.{number + 1}/24 dev l0",
            f"route add {LOOPBACKS[1 - number]}/32 via 10.66.0.{2 - number}",
        )
