"""Two nodes and a far side, for tests of packet paths with real packets.

    far ── up0 ══ veth ══ up0 ── one ─┐
     └──── up1 ══ veth ══ up0 ── two ─┴ l0, fabric0 (VXLAN, between loopbacks)

The far side has the clients' addresses, each node the anycast addresses and a default
route to the far side. WireGuard's place on a node is taken by a UDP socket on the service
port: what the path lets through is read there, what a node's WireGuard would say is sent
from there. So any packet can be made, and each can be found again.
"""

from __future__ import annotations

import functools
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_address
from typing import Any, TypeVar, cast

import msgspec

from anycastle.agent.takeover.path import PacketEvent, PacketPath
from anycastle.model.addresses import Address, Endpoint, fabric_interface, fabric_mac
from anycastle.model.node import FabricSpec, NodeSpec
from tests.support.namespaces import Namespace, join, namespaces
from tests.support.node import ANYCAST4, ANYCAST6, node_spec
from tests.support.trains import IPV6_FREEBIND
from tests.support.waiting import wait_for

T = TypeVar("T")

PORT = 51820
LOOPBACKS = (IPv4Address("10.64.0.1"), IPv4Address("10.64.0.2"))
FABRIC = FabricSpec()

MakePath = Callable[[NodeSpec], PacketPath]
"""Makes a path in the namespace that the thread is in."""


def client(number: int, version: int = 4) -> Endpoint:
    """Endpoint of client `number`, one address for each 10 of them as behind a NAT."""
    host, port = number // 10 + 1, 40000 + number % 10
    address = f"198.51.100.{host}" if version == 4 else f"2001:db8:c::{host:x}"
    return Endpoint(ip_address(address), port)


def initiation(index: int) -> bytes:
    """148 bytes whose sender index is `index`."""
    return struct.pack("<BxxxI", 1, index).ljust(148, b"i")


def response(index: int, receiver: int) -> bytes:
    """92 bytes."""
    return struct.pack("<BxxxII", 2, index, receiver).ljust(92, b"r")


def data(index: int, size: int = 32, counter: int = 0) -> bytes:
    """A data packet of `size` bytes; 32 is a keepalive."""
    return struct.pack("<BxxxIQ", 4, index, counter).ljust(size, b"d")


class Inside:
    """A path whose calls are made in its namespace, whichever thread makes them."""

    def __init__(self, space: Namespace, path: PacketPath) -> None:
        self._space, self._path = space, path

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._path, name)
        if not callable(found):
            return found

        @functools.wraps(found)
        def call(*arguments: object, **named: object) -> object:
            with self._space.entered():
                return found(*arguments, **named)

        return call


@dataclass
class Node:
    """space, spec: of the node. path: under test. sockets: WireGuard's, by IP version."""

    space: Namespace
    spec: NodeSpec
    path: PacketPath
    sockets: dict[int, socket.socket] = field(default_factory=dict)

    def ensure(self) -> bool:
        return self.path.ensure(["up0"], FABRIC.device)

    def send(self, payload: bytes, endpoint: Endpoint) -> None:
        """As this node's WireGuard: from the anycast address and port."""
        where = (str(endpoint.address), endpoint.port)
        self.sockets[endpoint.address.version].sendto(payload, where)

    def received(self) -> list[tuple[Endpoint, bytes]]:
        """What WireGuard would have got by now."""
        found = []
        for bound in self.sockets.values():
            while True:
                try:
                    payload, source = bound.recvfrom(2048)
                except BlockingIOError:
                    break
                found.append((Endpoint(ip_address(source[0]), source[1]), payload))
        return found

    def receive(self, number: int = 1) -> list[tuple[Endpoint, bytes]]:
        """At least so many, within some time."""
        return _gather(f"{number} packets", self.received, number)

    def events(self, number: int = 1) -> list[PacketEvent]:
        """At least so many, within some time."""
        return _gather(f"{number} events", self.path.drain, number)

    def met_foreign(self, number: int) -> bool:
        """Have so many packets of other nodes' sessions come here?"""
        return self.path.counters().foreign >= number


@dataclass
class PathWorld:
    """one, two: the nodes. Packets of `far` go to the node that `route_to` names (at first one)."""

    far: Namespace
    one: Node
    two: Node
    make: MakePath
    _sockets: dict[Endpoint, socket.socket] = field(default_factory=dict)

    def route_to(self, node: Node) -> None:
        """As BGP moves the anycast prefixes."""
        number = (self.one, self.two).index(node)
        self.far.batch(
            f"route replace {ANYCAST4} via 10.65.{number}.3",
            f"route replace {ANYCAST6} via fd00:65:{number}::3",
        )

    def replug(self) -> None:
        """The first node's uplink goes, and comes back as another device of the name."""
        self.one.space.batch("link delete up0")
        wire_uplink(self.far, self.one.space, 0)
        self.route_to(self.one)

    def send(self, payload: bytes, source: Endpoint, to: Address | None = None) -> None:
        """From the client's endpoint to the service."""
        version = source.address.version
        self._socket(source).sendto(
            payload, (str(to or (ANYCAST4 if version == 4 else ANYCAST6)), PORT)
        )

    def sender(self, source: Endpoint) -> Callable[[bytes], int]:
        """Sends from the client's endpoint to the service as fast as can be."""
        bound = self._socket(source)
        bound.connect((str(ANYCAST4 if source.address.version == 4 else ANYCAST6), PORT))
        return bound.send

    def answers(self, source: Endpoint) -> list[bytes]:
        """What came back to the client's endpoint by now."""
        return _read_all(self._socket(source))

    def settle(self) -> None:
        """Everything that was sent has arrived: all links are local."""
        time.sleep(0.1)

    def restart(self, node: Node) -> None:
        """The agent ends and starts again."""
        node.path.close()
        node.path = _make(self.make, node.space, node.spec)

    def close(self) -> None:
        for one in self._sockets.values():
            one.close()

    def _socket(self, source: Endpoint) -> socket.socket:
        if source not in self._sockets:
            with self.far.entered():
                self._sockets[source] = _bound(source)
        return self._sockets[source]


@contextmanager
def path_world(make: MakePath) -> Iterator[PathWorld]:
    """A world whose paths are loaded, and trusted to relay."""
    with ExitStack() as stack:
        spaces = stack.enter_context(namespaces("far", "one", "two"))
        far, one, two = spaces
        _wire(far, one, two)
        nodes = [
            _node(stack, space, loopback, make)
            for space, loopback in zip((one, two), LOOPBACKS, strict=True)
        ]
        world = PathWorld(far, nodes[0], nodes[1], make)
        stack.callback(world.close)
        for node in reversed(nodes):
            world.route_to(node)
            _warm_up(world, node)
        for node in nodes:
            node.ensure()
            node.path.trust(True)
        yield world


def _node(stack: ExitStack, space: Namespace, loopback: IPv4Address, make: MakePath) -> Node:
    spec = _spec(loopback)
    node = Node(space, spec, _make(make, space, spec))
    stack.callback(_remove, node)
    with space.entered():
        for address in (ANYCAST4, ANYCAST6):
            bound = _bound(Endpoint(address, PORT))
            stack.callback(bound.close)
            node.sockets[address.version] = bound
    return node


def _gather(what: str, look: Callable[[], list[T]], number: int) -> list[T]:
    found: list[T] = []

    def enough() -> bool:
        found.extend(look())
        return len(found) >= number

    wait_for(what, enough, 5, every=0.01)
    return found


def _warm_up(world: PathWorld, node: Node) -> None:
    """Both ends resolve each other: a packet that waits for that is late for a test."""
    for version in (4, 6):
        first = client(0, version)
        world.send(b"", first)
        node.receive()
        node.send(b"", first)
        wait_for("an answer", functools.partial(world.answers, first), 5, 0.01)


def _remove(node: Node) -> None:
    node.path.remove()
    node.path.close()


def _make(make: MakePath, space: Namespace, spec: NodeSpec) -> PacketPath:
    with space.entered():
        return cast(PacketPath, Inside(space, make(spec)))


def _spec(loopback: IPv4Address) -> NodeSpec:
    spec = node_spec()
    loopbacks = msgspec.structs.replace(spec.loopbacks, v4=loopback)
    return msgspec.structs.replace(spec, loopbacks=loopbacks)


def _bound(source: Endpoint) -> socket.socket:
    family = socket.AF_INET if source.address.version == 4 else socket.AF_INET6
    made = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    if family is socket.AF_INET6:  # IPv4 needs a local route only
        made.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
    made.bind((str(source.address), source.port))
    return made


def _read_all(bound: socket.socket) -> list[bytes]:
    found = []
    while True:
        try:
            found.append(bound.recv(2048))
        except BlockingIOError:
            return found


def _wire(far: Namespace, one: Namespace, two: Namespace) -> None:
    # Link-local addresses are of use at once, which neighbour discovery waits for.
    far.run("sysctl -qw net.ipv6.conf.default.dad_transmits=0")
    join(one, "l0", two, "l0")
    for number, node in enumerate((one, two)):
        node.run("sysctl -qw net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.default.rp_filter=2")
        node.run("sysctl -qw net.ipv6.conf.default.dad_transmits=0")
        wire_uplink(far, node, number)
        _wire_fabric(node, number)
    # Every address of these is the far side's own.
    far.batch(
        "route add local 198.51.100.0/24 dev lo",
        "route add local 2001:db8:c::/64 dev lo",
    )


def wire_uplink(far: Namespace, node: Namespace, number: int) -> None:
    """Node `number`'s uplink, as `tests.support.node.uplink` has it but for the device's name."""
    join(node, "up0", far, f"up{number}")
    far.batch(
        f"link set up{number} up",
        f"address add 10.65.{number}.2/31 dev up{number}",
        f"address add fd00:65:{number}::2/127 dev up{number} nodad",
    )
    node.batch(
        "link set up0 up",
        f"address add 10.65.{number}.3/31 dev up0",
        f"address add fd00:65:{number}::3/127 dev up0 nodad",
        f"route add default via 10.65.{number}.2",
        f"route add default via fd00:65:{number}::2",
    )


def _wire_fabric(node: Namespace, number: int) -> None:
    own, other = LOOPBACKS[number], LOOPBACKS[1 - number]
    node.batch(
        f"address add {own}/32 dev lo",
        f"address add {ANYCAST4}/32 dev lo",
        f"address add {ANYCAST6}/128 dev lo nodad",
        "link set l0 up",
        f"address add 10.66.0.{number + 1}/24 dev l0",
        f"route add {other}/32 via 10.66.0.{2 - number} src {own}",
        f"link add {FABRIC.device} address {fabric_mac(own)} type vxlan id {FABRIC.vni} "
        f"local {own} dstport {FABRIC.port} nolearning",
        f"link set {FABRIC.device} mtu {FABRIC.mtu} up",
        *(
            f"address add {fabric_interface(net, own)} dev {FABRIC.device}"
            for net in FABRIC.networks
        ),
        *(
            f"neighbour add {fabric_interface(net, other).ip} lladdr {fabric_mac(other)} "
            f"dev {FABRIC.device} nud permanent"
            for net in FABRIC.networks
        ),
    )
    node.run(
        f"bridge fdb append {fabric_mac(other)} dev {FABRIC.device} dst {other} self permanent"
    )
