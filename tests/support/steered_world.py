"""An agent_world in which clients are sent from node to node.

Which node gets a client's packets is the edge's business. Here a route to the anycast
addresses alone, at the edge, overrides what the nodes announce: so that routing moves at
a known moment, with the old node alive and none the wiser, as after a change of the hash
of an ECMP group, or to a node that does not announce at all.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from anycastle.model.addresses import Endpoint
from anycastle.model.deployment import PathChoice, Takeover
from tests.support.agent_site import Client
from tests.support.agent_world import SERVICE, Node, World, world
from tests.support.namespaces import run
from tests.support.postgres import Postgres
from tests.support.traffic import Flow, Ping
from tests.support.waiting import wait_for, wait_quiet

ANYCAST = {4: "192.0.2.1", 6: "2001:db8:a::1"}
_METRIC = re.compile(r"^anycastle_(\S+?)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


@dataclass
class SteeredWorld:
    """world: what it is made of."""

    world: World

    @property
    def nodes(self) -> list[Node]:
        return self.world.nodes

    @property
    def clients(self) -> list[Client]:
        return self.world.clients

    # routing ---------------------------------------------------------------

    def steer(self, node: Node) -> None:
        """All clients' packets go to this node from now on."""
        link = node.spec.edges[0]
        for version, address in ANYCAST.items():
            near = link.local4 if version == 4 else link.local6
            assert near is not None
            where = f"{address}/{32 if version == 4 else 128} via {near.ip}"
            run(f"ip -n {self.world.edge.name} route replace {where} proto 77")

    def release(self) -> None:
        """Routing is the nodes' again."""
        for version in ANYCAST:
            run(f"ip -{version} -n {self.world.edge.name} route flush proto 77")

    def cut(self, node: Node) -> None:
        """The node's power fails: everything on it dies, and its links."""
        run(f"ip -n {self.world.edge.name} link set {node.spec.name} down")
        assert node.agent is not None
        node.agent.kill()
        node.agent.wait(10)
        for daemon in (node.bird, node.wireguard):
            daemon.kill(signal.SIGKILL)

    def mend(self, node: Node) -> None:
        """Its link is back; `all_up` starts the rest."""
        link, edge = node.spec.edges[0], self.world.edge.name
        run(f"ip -n {edge} link set {node.spec.name} up")
        assert link.remote6 is not None
        assert link.local6 is not None
        address = f"{link.remote6}/{link.local6.network.prefixlen}"  # went with the link
        run(f"ip -n {edge} address replace {address} dev {node.spec.name} nodad")

    @contextmanager
    def partition(self) -> Iterator[None]:
        """Nodes do not hear each other: nothing passes between loopbacks."""
        rules = (
            "table inet partition { chain forward { type filter hook forward priority 0; "
            "ip saddr 10.64.0.0/24 ip daddr 10.64.0.0/24 drop; "
            "ip6 saddr fd00:64::/64 ip6 daddr fd00:64::/64 drop; }; }"
        )
        file = Path("/run", f"{self.world.edge.name}.nft")
        file.write_text(rules)
        self.world.edge.run(f"nft -f {file}")
        try:
            yield
        finally:
            self.world.edge.run("nft delete table inet partition")
            file.unlink()

    # what nodes say --------------------------------------------------------

    def owners(self, client: Client) -> list[Node]:
        """Nodes that report a session with the client."""
        number = self.clients.index(client)
        address = client.addresses[0]
        found = []
        for node in self.nodes:
            if node.state() == "gone":
                continue
            route = run(f"ip -n {node.space.name} route get {address}", check=False)
            if f"dev {node.spec.wireguard.device} " in route and self._reports(node, number):
                found.append(node)
        return found

    def _reports(self, node: Node, number: int) -> bool:
        return f"client-{number + 1}" in self._names(node)

    def _names(self, node: Node) -> set[str]:
        ids = {session["client"] for session in node.status()["sessions"]}
        views = self.world.call("GET", "/v1/clients")[1]
        return {view["name"] for view in views if view["id"] in ids}

    def owner(self, client: Client, timeout: float = 10.0) -> Node:
        """The one owner, once there is one and every other node routes to it."""

        def complaints() -> list[str]:
            owners = self.owners(client)
            if len(owners) != 1:
                return [f"owners: {[node.spec.name for node in owners]}"]
            loopback = str(owners[0].spec.loopbacks.v4)
            others = [n for n in self.nodes if n is not owners[0] and n.state() != "gone"]
            return [
                f"{node.spec.name} sends {client.addresses[0]} elsewhere: {route}"
                for node in others
                if _last_octet(loopback) != _last_octet(route := self._via(node, client))
            ]

        wait_quiet("all nodes agree on one owner", complaints, timeout)
        return self.owners(client)[0]

    def _via(self, node: Node, client: Client) -> str:
        """The next hop of the node's route to the client: on the inter-node path it ends
        like the owner's loopback."""
        words = run(f"ip -n {node.space.name} route get {client.addresses[0]}").split()
        return words[words.index("via") + 1] if "via" in words else "0.0.0.0"

    def metric(self, node: Node, name: str, labels: str = "") -> float:
        """A metric's value, 0.0 when there is none. labels: as they are printed."""
        text = node.get("/metrics")[1].decode()
        values = {(found[1], found[2] or ""): float(found[3]) for found in _METRIC.finditer(text)}
        return values.get((name, labels), 0.0)

    def relayed(self) -> float:
        """Packets that nodes sent on to each other."""
        return sum(
            self.metric(node, "takeover_packets_total", 'kind="relayed"')
            for node in self.nodes
            if node.state() != "gone"
        )

    def handshake(self, node: Node, client: Client) -> tuple[int, str]:
        """(epoch seconds of the last one, endpoint) of the client at this node's WireGuard."""
        device, key = node.spec.wireguard.device, client.public.text
        dump = node.space.run(f"wg show {device} dump")
        words = next(line.split("\t") for line in dump.splitlines() if line.startswith(key))
        return int(words[4]), words[2]

    def events(self, kind: str) -> list[str]:
        _, events = self.world.call("GET", "/v1/events?limit=1000")
        return [event["message"] for event in events if event["kind"] == kind]

    # traffic ---------------------------------------------------------------

    @contextmanager
    def pinging(self, *clients: Client, interval: float = 0.02) -> Iterator[list[Ping]]:
        pings = [
            Ping(client.space.name, SERVICE, interval=interval, name=client.device)
            for client in clients or self.clients[:1]
        ]
        try:
            yield pings
        finally:
            for ping in pings:
                ping.abandon()

    def settle(self) -> None:
        """Everything as at the beginning: all nodes up, all clients with a new session."""
        self.release()
        for node in self.nodes:
            self.mend(node)
        for client in self.clients:
            client.thaw()
        self.world.all_up()
        for node in self.nodes:
            self.ready(node)
        for client in self.clients:
            client.begin()
            wait_for("the client reaches the service", client.ping, 30)
            self.owner(client, 20)

    def ready(self, node: Node) -> None:
        """Wait until it takes clients over, by the packet path that it is to use."""
        wish = node.spec.takeover.path
        kind = "bpf" if wish is PathChoice.AUTO else wish.value
        wait_for("takeover is on", lambda: self.path(node) == kind, 20)

    def path(self, node: Node) -> str:
        """The packet path that the node says it uses."""
        return str(node.status()["takeover"]).partition(":")[0]

    def configure(self, node: Node, takeover: Takeover) -> None:
        """As `pulumi up` does it: the file, then a reload if the agent runs."""
        node.spec = msgspec.structs.replace(node.spec, takeover=takeover)
        node.write()
        if node.agent is not None and node.agent.poll() is None:
            node.signal(signal.SIGHUP)

    def arrive(self, client: Client, node: Node, timeout: float = 10.0) -> None:
        """Wait until this node owns the client, and all others know."""
        wait_for("the client moved", lambda: self.owners(client) == [node], timeout)
        assert self.owner(client, timeout) is node

    def other(self, *than: Node) -> Node:
        """A node that is none of these."""
        return next(node for node in self.nodes if node not in than)


def flow_of(ping: Ping) -> Flow:
    return ping.stop(grace=1.0)


def spoof(edge: World, source: Endpoint, node: Node, packets: Sequence[bytes]) -> None:
    """Send UDP packets to the service that claim to come from `source`, over the node's link."""
    script = (
        "import socket, sys\n"
        "tap = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\n"
        "tap.bind((sys.argv[1], 0))\n"
        "for line in sys.stdin: tap.send(bytes.fromhex(line))\n"
    )
    mac = node.space.run("cat /sys/class/net/up0/address").strip()
    frames = [frame(mac, source, packet).hex() for packet in packets]
    subprocess.run(
        ["ip", "netns", "exec", edge.edge.name, "python3", "-c", script, node.spec.name],
        input="\n".join(frames),
        text=True,
        check=True,
    )


def frame(mac: str, source: Endpoint, payload: bytes, port: int = 51820) -> bytes:
    """An Ethernet frame with a UDP packet from `source` to the IPv4 anycast address."""
    octets = [int(octet) for octet in ANYCAST[4].split(".")]
    udp = source.port.to_bytes(2, "big") + port.to_bytes(2, "big")
    udp += (8 + len(payload)).to_bytes(2, "big") + bytes(2) + payload
    head = bytes([0x45, 0]) + (20 + len(udp)).to_bytes(2, "big") + bytes([0, 0, 0x40, 0, 64, 17])
    ends = source.address.packed + bytes(octets)
    total = sum(int.from_bytes((head + ends)[at : at + 2], "big") for at in range(0, 18, 2))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = (~total & 0xFFFF).to_bytes(2, "big")
    ethernet = bytes.fromhex(mac.replace(":", "")) + bytes.fromhex("020000000001") + b"\x08\x00"
    return ethernet + head + checksum + ends + udp


def data_packet(index: int, length: int = 32) -> bytes:
    """What looks like a data message (type 4) of some session."""
    return bytes([4, 0, 0, 0]) + index.to_bytes(4, "little") + bytes(length - 8)


@contextmanager
def steered_world(
    folder: Path,
    postgres: Postgres,
    *,
    nodes: int = 3,
    clients: int = 2,
    takeover: Takeover | None = None,
) -> Iterator[SteeredWorld]:
    """Nodes up, clients enrolled and connected. takeover: the nodes' setting."""
    with world(folder, postgres, nodes=nodes, clients=clients) as made:
        whole = SteeredWorld(made)
        for node in made.nodes:
            whole.configure(node, takeover or Takeover())
        made.all_up()
        for number, client in enumerate(made.clients, 1):
            made.enrol(client, f"client-{number}")
        try:
            yield whole
        finally:
            whole.release()


def _last_octet(address: str) -> str:
    return address.rpartition(".")[2]
