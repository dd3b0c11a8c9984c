"""Two nodes with real WireGuard and packet paths, a client behind NAT, a server behind both.

    client ── nat ── edge ══ up0 ═ one ── in0 ── server
                       ╚════ up1 ═ two ── in0 ──╯

The nodes have one service key and one anycast address, and hold what an agent's reconcile
makes of their spec (addresses, rules, WireGuard, the inter-node path over the edge). BGP
and the agent's decisions are made by hand: `move`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import msgspec

from anycastle.agent.apply import reconcile
from anycastle.agent.desired import client_peers, desired
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.takeover.path import EventKind, PacketEvent, PacketPath
from anycastle.agent.wireguard.choose import choose_edge
from anycastle.agent.wireguard.edge import Initiate, PeerConfig, PeerSample, WireGuardEdge
from anycastle.model.addresses import Address
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key
from anycastle.model.node import Loopbacks, NodeSpec
from tests.support.fabric import peer
from tests.support.namespaces import Namespace, join, namespaces, run, unique_device
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
from tests.support.waiting import wait_for
from tests.support.wireguard import (
    PORT,
    PRESHARED,
    SERVICE_PUBLIC_KEY,
    Daemons,
    public_key,
)

SERVER = "10.50.0.1"

MakePath = Callable[[NodeSpec], PacketPath]


@dataclass
class Node:
    """number: from 0; names the uplink. events: those that were read."""

    number: int
    space: Namespace
    spec: NodeSpec
    edge: WireGuardEdge
    path: PacketPath

    @property
    def loopback(self) -> IPv4Address:
        return self.spec.loopbacks.v4

    def sample(self) -> PeerSample:
        (only,) = self.edge.sample()
        return only

    def event(self, kind: EventKind, seconds: float = 10) -> PacketEvent:
        """The next one of the kind; others are dropped."""
        found: list[PacketEvent] = []

        def look() -> bool:
            found.extend(one for one in self.path.drain() if one.kind is kind)
            return bool(found)

        wait_for(f"an event {kind.value}", look, seconds, every=0.001)
        return found[0]


@dataclass
class DrainWorld:
    """spaces: client, nat, edge, server. enrolled: the client, with its peer."""

    client: Namespace
    nat: Namespace
    edge: Namespace
    server: Namespace
    device: str
    nodes: Sequence[Node]
    enrolled: Client
    peer: PeerConfig

    def route_to(self, node: Node) -> None:
        """As BGP moves the anycast addresses."""
        number = node.number
        self.edge.batch(
            f"route replace {ANYCAST4} via 10.65.{number}.3",
            f"route replace {ANYCAST6} via fd00:65:{number}::3",
        )

    def answer_by(self, node: Node) -> None:
        """As BGP moves the client's route."""
        self.server.batch(f"route replace 10.200.0.0/16 via 10.51.{node.number}.2")

    def connect(self, to: Address) -> None:
        """The client begins a session with the node that its packets reach."""
        shown = f"[{to}]" if to.version == 6 else str(to)
        psk = Path("/run", f"{self.device}.psk")
        psk.write_text(PRESHARED.text)
        self.client.run(
            f"wg set {self.device} peer {SERVICE_PUBLIC_KEY.text} preshared-key {psk} "
            f"allowed-ips 10.50.0.0/24 endpoint {shown}:{PORT} persistent-keepalive 25"
        )
        psk.unlink()
        wait_for(
            "a session",
            lambda: "1 received" in self.client.run(f"ping -c1 -W1 {SERVER}", check=False),
            20,
        )

    def move(self, old: Node, new: Node, *, after: float, grace: float = 1.0) -> None:
        """A planned drain of `old`, whose client `new` takes over `after` seconds from its
        first packet. grace: seconds until the old one drops the client's keys."""
        before = old.sample()
        endpoint = before.endpoint
        assert endpoint is not None
        new.path.drain()
        new.path.put_relays({endpoint: old.loopback})
        self.route_to(new)
        assert new.event(EventKind.FOREIGN).endpoint == endpoint
        time.sleep(after)
        new.edge.set([Initiate(self.peer, endpoint, anew=False)])
        wait_for("an answer", lambda: self._confirmed(new, before), 10, every=0.002)
        self.answer_by(new)
        old.path.put_relays({endpoint: new.loopback})
        time.sleep(grace)
        old.edge.reset_peer(self.peer)
        old.path.forget([endpoint])
        new.path.remove_relays([endpoint])

    def _confirmed(self, node: Node, before: PeerSample) -> bool:
        """Newer than the old node's handshake, and the client has used it."""
        if not any(event.kind is EventKind.FIRST for event in node.path.drain()):
            return False
        return node.sample().latest_handshake > before.latest_handshake


@contextmanager
def drain_world(make: MakePath, folder: Path) -> Iterator[DrainWorld]:
    """folder: for what daemons print."""
    with ExitStack() as stack:
        far, nat, edge, server, *spaces = stack.enter_context(
            namespaces("client", "nat", "edge", "server", "one", "two")
        )
        for space in (far, nat, edge, server, *spaces):
            # Link-local addresses are of use at once, which neighbour discovery waits for.
            space.run("sysctl -qw net.ipv6.conf.default.dad_transmits=0")
        daemons = Daemons(folder)
        stack.callback(daemons.stop_all)
        _wire_client(far, nat, edge)
        device, key = _make_client(far, daemons)
        credential = Credential(id="a", public_key=key, preshared_key=PRESHARED)
        enrolled = client(0, credential)
        (peer_config,) = client_peers(enrolled, NOW)
        nodes = []
        for number, space in enumerate(spaces):
            _wire_node(number, space, edge, server)
            nodes.append(_make_node(stack, number, space, enrolled, daemons, make))
        world = DrainWorld(far, nat, edge, server, device, nodes, enrolled, peer_config)
        world.route_to(nodes[0])
        world.answer_by(nodes[0])
        yield world


def _make_node(
    stack: ExitStack,
    number: int,
    space: Namespace,
    enrolled: Client,
    daemons: Daemons,
    make: MakePath,
) -> Node:
    spec = _spec(number)
    device = spec.wireguard.device
    stack.callback(daemons.stop, device)
    with space.entered():
        edge = choose_edge(device, start=daemons.starter(space), stop=daemons.stop)
        stack.callback(edge.close)
        network = KernelNetwork()
        stack.callback(network.close)
        wanted = desired(spec, SERVICE_KEY, clients(enrolled), NOW, [peer(2 - number)])
        result = reconcile(wanted, edge, network)
        assert not result.failed, result
        space.batch(*(f"route replace {one} dev {device}" for one in enrolled.addresses))
        path = make(spec)
        path.ensure([f"up{number}"], spec.fabric.device)
        stack.callback(_in(space, path.remove))
        path.trust(True)
    return Node(number, space, spec, edge, path)


def _in(space: Namespace, call: Callable[[], None]) -> Callable[[], None]:
    def inside() -> None:
        with space.entered():
            call()

    return inside


def _spec(number: int) -> NodeSpec:
    return msgspec.structs.replace(
        node_spec(device=unique_device()),
        name=f"ams-{number + 1}",
        loopbacks=Loopbacks(
            IPv4Address(f"10.64.0.{number + 1}"), IPv6Address(f"fd00:64::{number + 1}")
        ),
        edges=(uplink(number),),
    )


def _wire_client(far: Namespace, nat: Namespace, edge: Namespace) -> None:
    for space in (nat, edge):
        space.run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
    join(far, "c0", nat, "lan0")
    join(nat, "wan0", edge, "wan0")
    far.batch(
        "address add 192.168.1.2/24 dev c0",
        "address add fd00:1::2/64 dev c0 nodad",
        "link set c0 up",
    )
    nat.batch(
        "address add 192.168.1.1/24 dev lan0",
        "address add fd00:1::1/64 dev lan0 nodad",
        "address add 203.0.113.2/24 dev wan0",
        "address add 2001:db8:1::2/64 dev wan0 nodad",
        "link set lan0 up",
        "link set wan0 up",
        "route add default via 203.0.113.1",
        "route add default via 2001:db8:1::1",
    )
    far.batch("route add default via 192.168.1.1", "route add default via fd00:1::1")
    edge.batch(
        "address add 203.0.113.1/24 dev wan0",
        "address add 2001:db8:1::1/64 dev wan0 nodad",
        "link set wan0 up",
    )
    rules = Path("/run", f"{nat.name}.nft")
    rules.write_text(
        "table inet nat { chain post { type nat hook postrouting priority 100; "
        'oifname "wan0" masquerade; }; }\n'
    )
    nat.run(f"nft -f {rules}")
    rules.unlink()


def _wire_node(number: int, node: Namespace, edge: Namespace, server: Namespace) -> None:
    join(edge, f"node{number}", node, f"up{number}")
    join(server, f"node{number}", node, "in0")
    edge.batch(
        f"address add 10.65.{number}.2/31 dev node{number}",
        f"address add fd00:65:{number}::2/127 dev node{number} nodad",
        f"link set node{number} up",
    )
    node.batch(
        f"address add 10.65.{number}.3/31 dev up{number}",
        f"address add fd00:65:{number}::3/127 dev up{number} nodad",
        f"address add 10.51.{number}.2/24 dev in0",
        f"link set up{number} up",
        "link set in0 up",
        f"route add default via 10.65.{number}.2",
        f"route add default via fd00:65:{number}::2",
        f"route add {SERVER} via 10.51.{number}.1",
    )
    edge.batch(f"route add 10.64.0.{number + 1} via 10.65.{number}.3")
    server.batch(
        f"address add 10.51.{number}.1/24 dev node{number}",
        f"link set node{number} up",
        *([f"address add {SERVER}/32 dev lo"] if number == 0 else []),
    )
    server.run("sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0")


def _make_client(far: Namespace, daemons: Daemons) -> tuple[str, Key]:
    """A stock client's device and public key."""
    device = unique_device()
    with far.entered():
        edge = choose_edge(device)
    edge.close()
    if edge.kind == "kernel":
        far.batch(f"link add {device} type wireguard")
    else:
        daemons.start(far, device)
        wait_for("wireguard-go", Path(f"/var/run/wireguard/{device}.sock").exists, 5, every=0.02)
    private = Key.from_text(run("wg genkey").strip())
    file = Path("/run", f"{device}.key")
    file.write_text(private.text)
    far.run(f"wg set {device} private-key {file}")
    file.unlink()
    far.batch(
        f"address add 10.200.0.16/32 dev {device}",
        f"link set {device} mtu 1380 up",
        f"route add 10.50.0.0/24 dev {device}",
    )
    return device, public_key(private)
