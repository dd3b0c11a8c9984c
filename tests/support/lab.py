"""A running lab, driven from outside: its hosts, its agents, its control plane.

For tests/lab and benchmarks/. Commands go to a host over the management network, over
one kept SSH connection each; what is measured runs in the host's network namespace.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import httpx
import yaml

from anycastle.cli import inventory
from anycastle.cli.api import Access, Api
from anycastle.cli.inventory import Host
from anycastle.cli.lab import ssh_command
from anycastle.model import codec
from anycastle.model.addresses import link_ends, nth
from anycastle.model.api import ClientView, NodeView, Status
from anycastle.model.deployment import Datacentre, Deployment
from anycastle.model.status import NodeReport
from components.lab.settings import LabSettings
from tests.support import traffic
from tests.support.crowd import Guest, reconnect, wg
from tests.support.traffic import Ping
from tests.support.waiting import wait_quiet

CHECKOUT = Path(__file__).resolve().parents[2]
AGENT_PORT = 9178
RECONNECT = "umask 077; wg-quick strip wg0 >/run/wg0.plain && wg setconf wg0 /run/wg0.plain; rm /run/wg0.plain"


class CommandFailed(AssertionError):
    """A command in a host ended with another code than 0. The message has its output."""


@dataclass(frozen=True)
class Addresses:
    """Of a host inside the VPN, one of each family."""

    v4: str
    v6: str

    def __iter__(self) -> Any:
        return iter((self.v4, self.v6))


class Lab:
    """name: as in `LAB=name make lab`. The lab has to be up."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.checkout = CHECKOUT
        self.directory = CHECKOUT / ".lab" / name
        self.stack_file = self.directory / "stack.yaml"
        self._sockets = self.directory / "ssh"
        self.guests: dict[str, Guest] = {}

    # hosts

    @cached_property
    def hosts(self) -> dict[str, Host]:
        return {host.name: host for host in inventory.load(self.directory)}

    def forget(self) -> None:
        """Read inventory, environment and stack file again (after `pulumi up`)."""
        for name in ("hosts", "environment", "_config", "addresses"):
            self.__dict__.pop(name, None)

    def of_kind(self, kind: str) -> list[Host]:
        return [host for host in self.hosts.values() if host.kind == kind]

    @property
    def nodes(self) -> list[str]:
        return [host.name for host in self.of_kind("node")]

    @property
    def clients(self) -> list[str]:
        """Client hosts and guests (tests.support.crowd)."""
        return [*(host.name for host in self.of_kind("client")), *self.guests]

    def clients_of(self, site: str) -> list[str]:
        return [name for name in self.clients if self.site(name) == site]

    def site(self, client: str) -> str:
        return self.guests[client].site if client in self.guests else self.hosts[client].place or ""

    def netns(self, name: str) -> str:
        """Of a host or guest."""
        return self.guests[name].netns if name in self.guests else self.hosts[name].netns

    def wg_of(self, client: str, *arguments: str) -> str:
        """`wg VERB DEVICE …` on a client: (`show`, `endpoints`), (`set`, `listen-port`, "1")."""
        verb, *rest = arguments
        if client in self.guests:
            return wg(self.guests[client], verb, *rest)
        return self.run(client, "wg", verb, "wg0", *rest)

    def run(
        self, host: str, *command: str, check: bool = True, timeout: float = 30.0, given: str = ""
    ) -> str:
        """stdout of a command in a host. Raises CommandFailed, subprocess.TimeoutExpired."""
        done = subprocess.run(
            self.command(host, *command),
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode:
            text = f"{host}: {shlex.join(command)}: exit code {done.returncode}"
            raise CommandFailed(f"{text}\n{done.stdout}{done.stderr}")
        return done.stdout

    def command(self, host: str, *command: str) -> list[str]:
        """The ssh command that runs it in a host."""
        options = ["-T", *self._kept(host)]
        return ssh_command(self.directory, self.hosts[host], options, shlex.join(command))

    def script(self, host: str, text: str, check: bool = True, timeout: float = 60.0) -> str:
        """stdout of shell lines in a host; the first that fails ends them."""
        return self.run(host, "sh", "-eus", check=check, timeout=timeout, given=text)

    def on_all(self, hosts: Iterable[str], *command: str, check: bool = True) -> dict[str, str]:
        """The same command in many hosts, side by side."""
        names = list(hosts)
        with ThreadPoolExecutor(16) as pool:
            outputs = pool.map(lambda name: self.run(name, *command, check=check), names)
            return dict(zip(names, outputs, strict=True))

    def inside(self, host: str, *command: str, timeout: float = 30.0) -> str:
        """stdout of one of the machine's own commands in a host's network namespace."""
        return subprocess.run(
            ["ip", "netns", "exec", self.netns(host), *command],
            capture_output=True, text=True, timeout=timeout, check=True,
        ).stdout  # fmt: skip

    def power(self, action: str, name: str) -> None:
        """`kill` or `start` a host, `cut` or `restore` a link (components.lab.power)."""
        done = subprocess.run(
            [sys.executable, "-m", "components.lab.power", action, self.name, name],
            cwd=CHECKOUT, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CommandFailed(f"{action} {name}: {done.stdout}{done.stderr}")

    def _kept(self, host: str) -> list[str]:
        """Keep the connection for the next command; notice within 4 s that its host died."""
        socket = self._sockets / f"c-{self.hosts[host].address}"
        return [
            *("-o", "ControlMaster=auto", "-o", f"ControlPath={socket}"),
            *("-o", "ControlPersist=30", "-o", "ServerAliveInterval=2"),
            *("-o", "ServerAliveCountMax=2"),
        ]

    # the deployment

    @cached_property
    def _config(self) -> dict[str, Any]:
        path = self.stack_file if self.stack_file.exists() else CHECKOUT / "stacks/Pulumi.lab.yaml"
        config: dict[str, Any] = yaml.safe_load(path.read_text())["config"]
        return config

    @property
    def deployment(self) -> Deployment:
        return codec.from_plain(self._config["anycastle:deployment"], Deployment)

    @property
    def settings(self) -> LabSettings:
        return codec.from_plain(self._config["anycastle:lab"], LabSettings)

    def loopback(self, node: str) -> IPv4Address:
        """The node's IPv4 loopback: its name in BGP."""
        id_ = next(n.id for dc in self.deployment.datacentres for n in dc.nodes if n.name == node)
        return IPv4Address(int(nth(self.deployment.loopbacks.v4, id_)))

    def datacentre_of(self, node: str) -> Datacentre:
        return next(
            dc for dc in self.deployment.datacentres if any(n.name == node for n in dc.nodes)
        )

    def routing_of(self, node: str) -> str:
        """`bird` or `frr`."""
        dc = self.datacentre_of(node)
        return next(n.routing or dc.routing for n in dc.nodes if n.name == node).value

    def home(self, client: str) -> Datacentre:
        """The datacentre that a client goes to as long as it is healthy (docs/lab.md)."""
        return self.deployment.datacentres[0 if self.site(client) == "site1" else 1]

    def service(self, datacentre: str) -> Addresses:
        """Of the service host inside a datacentre."""
        found = next(dc for dc in self.deployment.datacentres if dc.name == datacentre)
        v4, v6 = found.services
        return Addresses(str(nth(v4, 10)), str(nth(v6, 0x10)))

    @cached_property
    def addresses(self) -> dict[str, Addresses]:
        """Of each client inside the tunnel, as the control plane gave them out."""
        known = {view.name: view.addresses for view in self.client_views()}
        return {c: Addresses(*(str(a) for a in known[c])) for c in self.clients if c in known}

    def announcers(self, datacentre: str) -> set[str]:
        """Nodes that the datacentre's edge router sends the anycast address to, now.

        Read from the routes of its kernel: what counts is where packets go.
        """
        found = next(dc for dc in self.deployment.datacentres if dc.name == datacentre)
        edge = found.edges[0]
        by_link = {str(link_ends(edge.links.v4, n.id)[1].ip): n.name for n in found.nodes}
        prefix = next(p for p in self.deployment.anycast.prefixes if p.version == 4)
        text = self.inside(edge.name, "ip", "-j", "route", "show", str(prefix))
        hops = [hop for route in json.loads(text) for hop in route.get("nexthops", [route])]
        return {by_link[hop["gateway"]] for hop in hops if hop.get("gateway") in by_link}

    # agents

    def report(self, node: str) -> NodeReport | None:
        """What the node says of itself; None when it does not answer."""
        url = f"http://{self.hosts[node].address}:{AGENT_PORT}/v1/status"
        try:
            answer = httpx.get(url, timeout=2.0, trust_env=False)
        except httpx.TransportError:
            return None
        return codec.from_json(answer.content, NodeReport) if answer.is_success else None

    def reports(self) -> dict[str, NodeReport | None]:
        with ThreadPoolExecutor(16) as pool:
            return dict(zip(self.nodes, pool.map(self.report, self.nodes), strict=True))

    # the control plane

    @cached_property
    def environment(self) -> dict[str, str]:
        """Variables of `.lab/NAME/env`, on top of this process's."""
        done = subprocess.run(
            ["sh", "-c", '. "$1" && exec env -0', "sh", str(self.directory / "env")],
            capture_output=True, check=True, cwd=CHECKOUT,
        )  # fmt: skip
        pairs = (pair.partition("=") for pair in done.stdout.decode().split("\0") if pair)
        return {name: value for name, _, value in pairs}

    def api(self, token: str | None = None) -> Api:
        """The operators' API, with the lab's admin token unless another is given."""
        variables = self.environment
        ca = Path(variables["ANYCASTLE_CA"])
        token = token or variables["ANYCASTLE_TOKEN"]
        return Api(Access(variables["ANYCASTLE_URL"], token, CHECKOUT / ca))

    def status(self) -> Status:
        with self.api() as api:
            return api.get(Status, "status")

    def client_views(self) -> tuple[ClientView, ...]:
        with self.api() as api:
            return api.get(tuple[ClientView, ...], "clients")

    def node_views(self) -> tuple[NodeView, ...]:
        with self.api() as api:
            return api.get(tuple[NodeView, ...], "nodes")

    def cli(
        self, *arguments: str, given: str | bytes | None = None, **variables: str
    ) -> subprocess.CompletedProcess[bytes]:
        """`anycastle ARGUMENTS` as an operator with a sourced environment runs it.

        Behind the nodes' work: an operator's machine is not theirs.
        """
        return subprocess.run(
            ["nice", sys.executable, "-m", "anycastle.cli", *arguments],
            input=given.encode() if isinstance(given, str) else given,
            capture_output=True, timeout=60, check=False, cwd=CHECKOUT,
            env=self.environment | variables,
        )  # fmt: skip

    def cli_json(self, *arguments: str) -> Any:
        done = self.cli(*arguments, "--json")
        assert done.returncode == 0, done.stderr.decode()
        return json.loads(done.stdout)

    # the stack

    def pulumi(
        self, *arguments: str, stack_file: Path | None = None, timeout: float = 300.0
    ) -> subprocess.CompletedProcess[str]:  # fmt: skip
        """`pulumi ARGUMENTS` on the lab's stack, not interactive, without colour."""
        config = ["--config-file", str(stack_file)] if stack_file else []
        variables = self.environment
        return subprocess.run(
            [shutil.which("pulumi", path=variables["PATH"]) or "pulumi", "--non-interactive",
             "--color", "never", *arguments, *config],
            capture_output=True, text=True, timeout=timeout, check=False, cwd=CHECKOUT,
            stdin=subprocess.DEVNULL, env=variables,
        )  # fmt: skip

    def up_again(self) -> None:
        """`make lab` on the lab as it stands: what its stack file says now."""
        _tool("up", self.name)
        self.forget()

    def stack(self) -> dict[str, Any]:
        """Its stack file as plain values, to edit. Only of a lab that has one of its own."""
        assert self.stack_file.exists(), (
            f"lab {self.name!r} is configured by stacks/Pulumi.lab.yaml, which tests leave alone; "
            "stand up another one (LAB=dev make lab) and reuse that"
        )
        loaded: dict[str, Any] = yaml.safe_load(self.stack_file.read_text())
        return loaded

    def write_stack(self, stack: Mapping[str, Any]) -> None:
        self.stack_file.write_text(yaml.safe_dump(dict(stack), sort_keys=False))

    # states to wait for

    def unhealthy(self) -> list[str]:
        """Nodes that are not UP and announcing, with their reasons."""
        complaints = []
        for name, report in self.reports().items():
            if report is None:
                complaints.append(f"{name} does not answer")
            elif report.state != "UP" or not report.announcing:
                complaints.append(f"{name} is {report.state} ({report.reason})")
        for dc in self.deployment.datacentres:
            missing = {node.name for node in dc.nodes} - self.announcers(dc.name)
            complaints += [f"{dc.edges[0].name} has no route to {name}" for name in missing]
        return complaints

    def strangers(self) -> list[str]:
        """Clients that no node of their own site's datacentre serves."""
        owners = {view.name: view.owner for view in self.client_views()}
        complaints = []
        for client in self.clients:
            near = {node.name for node in self.home(client).nodes}
            if owners.get(client) not in near:
                complaints.append(f"{client} is served by {owners.get(client)}")
        return complaints

    def nudge(self) -> None:
        """One packet out of every client: silent ones notice a lost session only by that."""
        target = self.service(self.deployment.datacentres[0].name).v4
        with ThreadPoolExecutor(16) as pool:
            list(pool.map(lambda name: self._knock(name, target), self.clients))

    def _knock(self, client: str, target: str) -> None:
        command = ["ip", "netns", "exec", self.netns(client), "ping", "-c1", "-W1", target]
        subprocess.run(command, capture_output=True, check=False)

    def serve(self, timeout: float = 90.0) -> None:
        """Wait until every node is UP and announcing. Raises NotInTime."""
        wait_quiet("all nodes UP and announcing", self.unhealthy, timeout, every=0.5)

    def settle(self, timeout: float = 120.0) -> None:
        """Wait for that, and for every client to be served by its own datacentre, steadily.

        A client's session follows its packets home, so each is made to send one.
        """
        self.serve(timeout)

        def away() -> list[str]:
            complaints = self.strangers()
            if complaints:
                self.nudge()
            return complaints

        wait_quiet("all clients at home", away, timeout, every=0.5)
        wait_quiet("all clients reach their services", self.losses, timeout)

    def reconnect(self, clients: Iterable[str]) -> None:
        """Cut these clients' sessions. Each goes on from another source port: `wg setconf`
        sets all that the file does not name anew, the port too."""
        for client in clients:
            if client in self.guests:
                reconnect(self.guests[client])
            else:
                self.script(client, RECONNECT)

    def losses(self) -> list[str]:
        """What clients lose in a second on the way to their own datacentre's service."""
        pings = [
            Ping(self.netns(c), self.service(self.home(c).name).v4, count=20, name=c)
            for c in self.clients
        ]
        with traffic.running(pings):
            return [str(flow) for flow in (ping.wait(4) for ping in pings) if flow.lost]


def up(name: str, stack: Mapping[str, Any] | None = None) -> Lab:
    """Stand a lab up by `make lab`'s own tool. stack: its stack file, when not the default.

    Raises CommandFailed with the end of what the tool said.
    """
    directory = CHECKOUT / ".lab" / name
    if stack is not None:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "stack.yaml").write_text(yaml.safe_dump(dict(stack), sort_keys=False))
    _tool("up", name)
    return Lab(name)


def down(name: str) -> None:
    """Destroy it, whatever is left of it. Raises CommandFailed."""
    _tool("down", name)


def default_stack() -> dict[str, Any]:
    """The lab's stack file as plain values, to edit."""
    loaded: dict[str, Any] = yaml.safe_load((CHECKOUT / "stacks/Pulumi.lab.yaml").read_text())
    return loaded


def _tool(action: str, name: str) -> None:
    done = subprocess.run(
        [str(CHECKOUT / "tools" / "lab"), action], cwd=CHECKOUT, env=os.environ | {"LAB": name},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900, check=False,
    )  # fmt: skip
    if done.returncode:
        raise CommandFailed(f"tools/lab {action} (LAB={name}):\n{done.stdout[-6000:]}")
