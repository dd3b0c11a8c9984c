"""Nodes with real agents, an edge router, a control plane, clients behind NAT.

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
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
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
from tests.support.agent_site import Client, make_site
from tests.support.bgp_node import Daemons
from tests.support.bgp_world import add_address, birdc, peer, veth
from tests.support.control_plane import World as Paper
from tests.support.control_plane import make_world
from tests.support.namespaces import Namespace, namespaces, run, unique_device
from tests.support.postgres import Postgres
from tests.support.waiting import wait_for

ROOT = Path(__file__).resolve().parents[2]
CONTROL_PORT = 8443
SERVICE = "10.50.1.1"
"""An address behind the edge that clients may reach. Its answers come to any node."""
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
class World:
    nodes: list[Node]
    edge: Namespace
    socket: Path
    clients: list[Client]
    paper: Paper
    token: str
    api: subprocess.Popen[bytes] | None = None

    @property
    def client(self) -> Client:
        return self.clients[0]

    def enrol(self, client: Client, name: str) -> None:
        """Enrol and connect a client, as an operator and its user do."""
        body = {"name": name, "public_key": client.public.text}
        status, answer = self.call("POST", "/v1/clients", body)
        assert status == 201, answer
        client.addresses = answer["client"]["addresses"]
        client.connect(answer["connection"], self.paper.directory)

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
def world(folder: Path, postgres: Postgres, *, nodes: int = 2, clients: int = 1) -> Iterator[World]:
    """Everything made and wired, the API running; no agent started yet."""
    with ExitStack() as stack:
        roles = [f"n{number}" for number in range(1, nodes + 1)]
        roles += [f"c{number}" for number in range(1, clients + 1)]
        edge, nat, *spaces = stack.enter_context(namespaces("edge", "nat", *roles))
        service = Key.from_text(run("wg genkey").strip())
        paper = _paper(postgres, folder, service)
        made: list[Node] = []
        for number, space in enumerate(spaces[:nodes], 1):
            node = _node(paper, folder, space, number, service)
            stack.enter_context(contextmanager(node.mount)())
            stack.callback(node.end)
            _wire(node, edge)
            made.append(node)
        for node in made:
            others = [peer(other.spec) for other in made if other is not node]
            (node.folder / "etc" / "peers.json").write_bytes(to_json(others))
        socket = _edge(stack, folder, edge, made)
        site = make_site(stack, folder, edge, nat, spaces[nodes:])
        issued = provision.operator_token(paper.spec, "test", auth.Role.ADMIN, None, None)
        whole = World(made, edge, socket, site, paper, asyncio.run(issued))
        stack.callback(whole.stop_api)
        whole.start_api()
        yield whole


def _paper(postgres: Postgres, folder: Path, service: Key) -> Paper:
    public = subprocess.run(
        ["wg", "pubkey"], input=service.text, capture_output=True, text=True, check=True
    )
    paper = asyncio.run(make_world(postgres, folder))
    return paper.with_spec(
        listen=(ip_address("0.0.0.0"),),
        port=CONTROL_PORT,
        names=("localhost", "127.0.0.1", "10.65.1.2", "10.65.1.4", "10.65.1.6"),
        service_public_key=Key.from_text(public.stdout.strip()),
        allowed_networks=(ip_network("10.50.1.0/24"),),
    )


def _node(paper: Paper, folder: Path, space: Namespace, number: int, service: Key) -> Node:
    base = bgp_world.node_spec(number, Routing.BIRD)
    own = folder / base.name
    etc = own / "etc"
    etc.mkdir(parents=True)
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
    veth(node.space, "up0", edge, node.spec.name)
    for local, remote in ((link.local4, link.remote4), (link.local6, link.remote6)):
        assert local is not None, "this world's links are of both families"
        add_address(node.space, "up0", str(local))
        add_address(edge, node.spec.name, f"{remote}/{local.network.prefixlen}")


def _edge(stack: ExitStack, folder: Path, space: Namespace, nodes: list[Node]) -> Path:
    """The edge router. Loopbacks travel through it, so nodes reach each other."""
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        space.run(f"sysctl -qw {key}=1")
    space.run("sysctl -qw net.ipv4.fib_multipath_hash_policy=1")
    add_address(space, "lo", f"{SERVICE}/32")
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
    ends = link.session(version)
    assert ends is not None, "this world's links are of both families"
    far, near = ends
    return f"""
protocol bgp '{spec.name}-{version}' {{
    local {near} as {link.asn}; neighbor {far} as {spec.asn};
    bfd on; hold time 9; connect delay time 1; connect retry time 1; error wait time 1, 2;
    ipv{version} {{ import all; export where net.len = 0 || net.len = {far.max_prefixlen}; }};
}}"""


def _module(space: Namespace, *words: str) -> list[str]:
    """The command that runs a Python module in a namespace."""
    return ["ip", "netns", "exec", space.name, sys.executable, "-m", *words]
