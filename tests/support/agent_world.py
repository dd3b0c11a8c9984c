"""Two nodes with real agents, an edge router, a control plane, a client behind NAT.

    client -- nat -- edge -- node 1     edge: BIRD, AS 64601; it is also where the control
                      +----- node 2     plane listens (real API, real Postgres)

WireGuard devices have names of their own, because wireguard-go's sockets share a directory.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import msgspec

from anycastle.agent.takeover.bpf import pins
from anycastle.control import auth, provision
from anycastle.model.codec import Key, to_json
from anycastle.model.deployment import Bfd, Clock, Health, Routing
from anycastle.model.node import ControlEndpoint, EdgePeer, NodeSpec, WireGuardSpec
from tests.support import bgp_world
from tests.support.agent_process import PINS, Detached, bird, wireguard
from tests.support.bgp_node import Daemons
from tests.support.bgp_world import birdc, peer
from tests.support.control_plane import World as Paper
from tests.support.control_plane import make_world
from tests.support.namespaces import Namespace, namespaces, run, unique_device
from tests.support.postgres import Postgres
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
CONTROL_PORT = 8443
HEALTH = Health(hold_down=2.0, hold_down_max=8.0, clock=Clock.TRUSTED)
"""Short, or a test of failures would wait for most of its time. All share one clock."""


@dataclass
class Node:
    """A node: its namespace, folder (see agent_process) and the agent, if it runs."""

    spec: NodeSpec
    space: Namespace
    folder: Path
    agent: subprocess.Popen[bytes] | None = None

    @property
    def bird(self) -> Detached:
        return bird(self.folder)

    @property
    def wireguard(self) -> Detached:
        return wireguard(self.folder, self.spec.wireguard.device)

    def mount(self) -> Iterator[None]:
        """A bpffs that outlives the agent: one that it mounts itself ends with the mount
        namespace that `ip netns exec` makes for it."""
        pins.mount(self.folder / PINS)
        yield
        pins.unmount(self.folder / PINS)

    def start(self) -> None:
        with (self.folder / "agent.log").open("ab") as log:
            self.agent = subprocess.Popen(
                _module(self.space, "tests.support.agent_process", str(self.folder)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'runtime'}"},
            )

    def signal(self, number: signal.Signals) -> None:
        assert self.agent is not None
        self.agent.send_signal(number)

    def wait(self, timeout: float = 25.0) -> int:
        assert self.agent is not None
        return self.agent.wait(timeout)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        self.wait()

    def get(self, path: str) -> tuple[int, bytes]:
        """GET from the agent's HTTP server. Raises OSError while it is not there."""
        with self.space.entered():
            connection = http.client.HTTPConnection("127.0.0.1", self.spec.listen_port, timeout=2)
            try:
                connection.request("GET", path)
                answer = connection.getresponse()
                return answer.status, answer.read()
            finally:
                connection.close()

    def status(self) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self.get("/v1/status")[1])
        return answer

    def state(self) -> str:
        try:
            return str(self.status()["state"])
        except OSError:
            return "gone"

    def wait_state(self, state: str, timeout: float = 20.0) -> None:
        try:
            wait_for(f"{self.spec.name} is {state}", lambda: self.state() == state, timeout)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}") from None

    def log(self) -> str:
        return (self.folder / "agent.log").read_text()[-6000:]

    def write(self) -> None:
        (self.folder / "etc" / "node.json").write_bytes(to_json(self.spec))

    def end(self) -> None:
        if self.agent is not None and self.agent.poll() is None:
            self.agent.send_signal(signal.SIGCONT)
            self.agent.kill()
            self.agent.wait(10)
        for daemon in (self.bird, self.wireguard):
            daemon.kill(signal.SIGCONT)
            daemon.kill()


@dataclass
class Client:
    """A stock client behind NAT."""

    space: Namespace
    device: str
    private: Key
    public: Key
    addresses: list[str] = field(default_factory=list)

    def connect(self, connection: dict[str, Any], folder: Path) -> None:
        """What wg-quick does with the file that an operator hands out."""
        key = folder / "client.key"
        key.write_text(self.private.text)
        endpoint = next(one for one in connection["endpoints"] if not one.startswith("["))
        allowed = ",".join(connection["allowed_ips"])
        self.space.run(f"wg set {self.device} private-key {key}")
        self.space.run(
            f"wg set {self.device} peer {connection['service_public_key']} endpoint {endpoint} "
            f"allowed-ips {allowed} persistent-keepalive {connection['keepalive']}"
        )
        for address in self.addresses:
            _address(self.space, self.device, f"{address}/{128 if ':' in address else 32}")
        run(f"ip -n {self.space.name} link set {self.device} mtu {connection['mtu']} up")
        for network in connection["allowed_ips"]:
            run(f"ip -n {self.space.name} route replace {network} dev {self.device}")

    def ping(self, address: str = "10.200.0.1", count: int = 1) -> bool:
        done = self.space.run(f"ping -q -c {count} -i 0.1 -W 1 {address}", check=False)
        return f" {count} received" in done


@dataclass
class World:
    nodes: list[Node]
    edge: Namespace
    socket: Path
    client: Client
    paper: Paper
    token: str
    api: subprocess.Popen[bytes] | None = None

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """A call to the API as an operator."""
        context = ssl.create_default_context(cafile=self.paper.spec.ca_certificate_file)
        with self.edge.entered():
            connection = http.client.HTTPSConnection(
                "127.0.0.1", CONTROL_PORT, timeout=10, context=context
            )
            try:
                headers = {"Authorization": f"Bearer {self.token}"}
                data = None if body is None else json.dumps(body)
                connection.request(method, path, data, headers)
                answer = connection.getresponse()
                text = answer.read()
                return answer.status, json.loads(text) if text else None
            finally:
                connection.close()

    def start_api(self) -> None:
        config = self.paper.config()
        with (self.paper.directory / "control.log").open("ab") as log:
            self.api = subprocess.Popen(
                _module(self.edge, "anycastle.control.main", "--config", str(config), "serve"),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=os.environ | {"PYTHONPATH": str(ROOT / "runtime")},
            )
        wait_for("the API answers", lambda: self.call("GET", "/v1/status")[0] == 200, 15)

    def stop_api(self) -> None:
        if self.api is not None and self.api.poll() is None:
            self.api.terminate()
            try:
                self.api.wait(10)
            except subprocess.TimeoutExpired:
                self.api.kill()
                self.api.wait(10)

    def announced(self) -> dict[str, bool]:
        """Nodes from which the edge has the anycast prefix -> demoted?"""
        table = birdc(self.socket, "show route 192.0.2.0/24 all")
        found: dict[str, bool] = {}
        name = ""
        for line in table.splitlines():
            if "[node-" in line:
                name = line.partition("[")[2].split()[0].rpartition("-")[0]
                found[name] = False
            elif "BGP.community" in line and name:
                found[name] = "(65535,0)" in line
        return found

    def until_announced(self, wanted: dict[str, bool], timeout: float) -> float:
        """Wait until the edge has exactly these. Returns the seconds that it took."""
        started = time.monotonic()
        try:
            wait_for(f"{wanted} announced", lambda: self.announced() == wanted, timeout, every=0.02)
        except AssertionError as error:
            logs = "\n".join(node.log() for node in self.nodes)
            raise AssertionError(f"{error}; {self.announced()}\n{logs}") from None
        return time.monotonic() - started

    def all_up(self, timeout: float = 45.0) -> None:
        """Everything as at the beginning."""
        if self.api is None or self.api.poll() is not None:
            self.start_api()
        for node in self.nodes:
            if node.agent is None or node.agent.poll() is not None:
                node.start()
            node.signal(signal.SIGCONT)
        for node in self.nodes:
            node.wait_state("UP", timeout)
        self.until_announced({node.spec.name: False for node in self.nodes}, 5)


@contextmanager
def world(folder: Path, postgres: Postgres) -> Iterator[World]:
    """Everything made and wired, the API running; no agent started yet."""
    with ExitStack() as stack:
        spaces = stack.enter_context(namespaces("edge", "nat", "client", "n1", "n2"))
        edge, nat, far, *node_spaces = spaces
        service = Key.from_text(run("wg genkey").strip())
        paper = _paper(postgres, folder, service)
        nodes = []
        for number, space in enumerate(node_spaces, 1):
            node = _node(paper, folder, space, number, service)
            stack.enter_context(contextmanager(node.mount)())
            stack.callback(node.end)
            _wire(node, edge)
            nodes.append(node)
        for node in nodes:
            for other in nodes:
                path = node.folder / "etc" / "peers.d" / f"{other.spec.name}.json"
                if other is not node:
                    path.write_bytes(to_json(peer(other.spec)))
        socket = _edge(stack, folder, edge, nodes)
        client = _client(stack, folder, edge, nat, far)
        issued = provision.operator_token(paper.spec, "test", auth.Role.ADMIN, None, None)
        made = World(nodes, edge, socket, client, paper, asyncio.run(issued))
        stack.callback(made.stop_api)
        made.start_api()
        yield made


def _paper(postgres: Postgres, folder: Path, service: Key) -> Paper:
    public = subprocess.run(
        ["wg", "pubkey"], input=service.text, capture_output=True, text=True, check=True
    )
    paper = asyncio.run(make_world(postgres, folder))
    return paper.with_spec(
        listen=(ip_address("0.0.0.0"),),
        port=CONTROL_PORT,
        names=("localhost", "127.0.0.1", "10.65.1.2", "10.65.1.4"),
        service_public_key=Key.from_text(public.stdout.strip()),
        allowed_networks=(),
    )


def _node(paper: Paper, folder: Path, space: Namespace, number: int, service: Key) -> Node:
    base = bgp_world.node_spec(number, Routing.BIRD)
    own = folder / base.name
    etc = own / "etc"
    (etc / "peers.d").mkdir(parents=True)
    # Machines that run tests are busier than routers: a lost packet or two means nothing.
    patient = msgspec.structs.replace(base.edges[0], bfd=Bfd(interval=300, multiplier=5))
    spec = msgspec.structs.replace(
        base,
        edges=(patient,),
        deployment=paper.spec.deployment,
        pools=paper.spec.pools,
        wireguard=WireGuardSpec(device=unique_device()),
        health=HEALTH,
        control=ControlEndpoint(
            urls=(f"https://{base.edges[0].remote4}:{CONTROL_PORT}",),
            ca_file=paper.spec.ca_certificate_file,
        ),
    )
    (etc / "service.key").write_text(service.text)
    (etc / "service.key").chmod(0o600)
    (etc / "join.token").write_text(asyncio.run(provision.join_token(paper.spec, spec.name, None)))
    node = Node(spec, space, own)
    node.write()
    return node


def _wire(node: Node, edge: Namespace) -> None:
    """The link to the edge; everything else on the node is the agent's work."""
    link = node.spec.edges[0]
    _link(node.space, "up0", edge, node.spec.name)
    for local, remote in ((link.local4, link.remote4), (link.local6, link.remote6)):
        _address(node.space, "up0", str(local))
        _address(edge, node.spec.name, f"{remote}/{local.network.prefixlen}")


def _edge(stack: ExitStack, folder: Path, space: Namespace, nodes: list[Node]) -> Path:
    """The edge router. Loopbacks travel through it, so nodes reach each other."""
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        space.run(f"sysctl -qw {key}=1")
    space.run("sysctl -qw net.ipv4.fib_multipath_hash_policy=1")
    own = folder / "edge"
    own.mkdir()
    config, socket = own / "bird.conf", own / "bird.ctl"
    config.write_text(_edge_config(nodes))
    words = ["bird", "-f", "-c", str(config), "-s", str(socket), "-P", str(own / "bird.pid")]
    daemons = Daemons("bird", space, [words], own)
    stack.callback(daemons.kill, signal.SIGTERM)
    asyncio.run(daemons.start())
    return socket


def _edge_config(nodes: list[Node]) -> str:
    parts = ["router id 10.64.0.201;", "protocol device {}", "protocol bfd {"]
    parts += [' interface "node-*" { interval 300 ms; multiplier 5; };', "}"]
    for version, default in ((4, "0.0.0.0/0"), (6, "::/0")):
        parts.append(
            f"protocol static {{ ipv{version}; route {default} unreachable; }}\n"
            f"protocol kernel {{ merge paths on; ipv{version} {{ export where source = RTS_BGP; }}; }}"
        )
        parts += [_edge_peering(node.spec.edges[0], node.spec, version) for node in nodes]
    return "\n".join(parts)


def _edge_peering(link: EdgePeer, spec: NodeSpec, version: int) -> str:
    """eBGP with a node: it gets the default route and everybody's loopbacks."""
    near, far = (link.remote4, link.local4) if version == 4 else (link.remote6, link.local6)
    return f"""
protocol bgp '{spec.name}-{version}' {{
    local {near} as {link.asn}; neighbor {far.ip} as {spec.asn};
    bfd on; hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 2;
    ipv{version} {{ import all; export where net.len = 0 || net.len = {far.max_prefixlen}; }};
}}"""


def _client(
    stack: ExitStack, folder: Path, edge: Namespace, nat: Namespace, far: Namespace
) -> Client:
    _link(nat, "wan", edge, "site")
    _address(edge, "site", "203.0.113.0/31")
    _address(nat, "wan", "203.0.113.1/31")
    _link(nat, "lan", far, "eth0")
    _address(nat, "lan", "192.168.1.1/24")
    _address(far, "eth0", "192.168.1.10/24")
    run(f"ip -n {nat.name} route add default via 203.0.113.0")
    run(f"ip -n {far.name} route add default via 192.168.1.1")
    nat.run("sysctl -qw net.ipv4.ip_forward=1")
    rules = "table ip nat { chain post { type nat hook postrouting priority 100; oif wan masquerade; }; }"
    file = folder / "nat.nft"
    file.write_text(rules)
    nat.run(f"nft -f {file}")
    device = unique_device()
    daemon = far.popen(f"wireguard-go -f {device}", folder / "client.log")
    stack.callback(_end, daemon)
    wait_for("the client's device", Path(f"/var/run/wireguard/{device}.sock").exists, 5, every=0.02)
    private = Key.from_text(run("wg genkey").strip())
    public = subprocess.run(
        ["wg", "pubkey"], input=private.text, capture_output=True, text=True, check=True
    )
    return Client(far, device, private, Key.from_text(public.stdout.strip()))


def _link(left: Namespace, left_device: str, right: Namespace, right_device: str) -> None:
    """A veth pair, both ends up."""
    run(
        f"ip link add {left_device} netns {left.name} type veth "
        f"peer name {right_device} netns {right.name}"
    )
    run(f"ip -n {left.name} link set {left_device} up")
    run(f"ip -n {right.name} link set {right_device} up")


def _address(space: Namespace, device: str, address: str) -> None:
    """Usable at once: IPv6 without duplicate address detection."""
    nodad = " nodad" if ":" in address else ""
    run(f"ip -n {space.name} address replace {address} dev {device}{nodad}")


def _module(space: Namespace, *words: str) -> list[str]:
    """The command that runs a Python module in a namespace."""
    return ["ip", "netns", "exec", space.name, sys.executable, "-m", *words]


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    process.wait(10)
