"""The lab that the demo plays in: who serves whom, hosts to kill, nodes to drain.

Nodes are asked themselves (port 9178): they know who serves a client a second before the
control plane does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import httpx
import yaml

from anycastle.cli import inventory
from anycastle.cli.api import Access, Api
from anycastle.cli.inventory import Host
from anycastle.cli.lab import ssh_command
from anycastle.model import codec
from anycastle.model.addresses import nth
from anycastle.model.api import ClientView
from anycastle.model.deployment import Datacentre, Deployment
from anycastle.model.status import NodeReport
from components.lab import container, power
from components.lab.layout import Layout
from tools.measure import switch
from tools.measure.probing import StreamSpec
from tools.places import CHECKOUT
from tools.stack.workspace import Workspace

AGENT_PORT = 9178
API_PORT = 8443
RATE = 200.0
# The session is cut; the file that wg-quick installed is set anew (and the source port with it).
RECONNECT = """
umask 077
wg-quick strip wg0 >/run/wg0.plain
wg setconf wg0 /run/wg0.plain
rm /run/wg0.plain
"""
T = TypeVar("T")
U = TypeVar("U")


class DemoFault(Exception):
    """The demo can't go on; the text says why and what to do."""


@dataclass(frozen=True)
class View:
    """What the nodes said last. owners: by client's name. Nodes that are silent are missing."""

    reports: Mapping[str, NodeReport]
    owners: Mapping[str, str]

    @property
    def busiest(self) -> str:
        """The announcing node that serves most; by name among equals."""
        serving = [name for name, report in self.reports.items() if report.announcing]
        if not serving:
            raise DemoFault("no node announces; `make lab` and try again")
        counts = {name: list(self.owners.values()).count(name) for name in serving}
        return max(sorted(serving), key=lambda name: counts[name])

    def served_by(self, node: str) -> list[str]:
        return sorted(name for name, owner in self.owners.items() if owner == node)


class World:
    """A lab that is up, by name. Raises DemoFault, anycastle's Failure."""

    def __init__(self, name: str) -> None:
        self.lab = Workspace(name)
        self._layout = Layout(name, self.lab.folder)

    @cached_property
    def hosts(self) -> dict[str, Host]:
        return {host.name: host for host in inventory.load(self.lab.folder)}

    @cached_property
    def deployment(self) -> Deployment:
        """As the lab's stack says."""
        stack = yaml.safe_load(self.lab.config.read_text())
        return codec.from_plain(stack["config"]["anycastle:deployment"], Deployment)

    @cached_property
    def api(self) -> Api:
        (control,) = self.of_kind("control")
        token = (self.lab.folder / "operator.token").read_text().strip()
        url = f"https://{control.address}:{API_PORT}"
        return Api(Access(url, token, self.lab.folder / "control-ca.pem"))

    def of_kind(self, kind: str) -> list[Host]:
        return [host for host in self.hosts.values() if host.kind == kind]

    @property
    def nodes(self) -> list[str]:
        return [host.name for host in self.of_kind("node")]

    @property
    def clients(self) -> list[str]:
        return [host.name for host in self.of_kind("client")]

    @cached_property
    def _names(self) -> dict[str, str]:
        """Clients by the control plane's id."""
        return {view.id: view.name for view in self.api.get(tuple[ClientView, ...], "clients")}

    # looking ---------------------------------------------------------------

    def view(self) -> View:
        found = {name: report for name, report in spread(self._report, self.nodes) if report}
        owners: dict[str, tuple[float, str]] = {}
        for node, report in found.items():
            for session in report.sessions:
                if (name := self._names.get(session.client)) in self.clients:
                    # Two may say so for a moment; the newer handshake is what counts.
                    newest = session.latest_handshake, node
                    owners[name] = max(owners.get(name, (0.0, "")), newest)
        return View(found, {name: node for name, (_, node) in owners.items()})

    def _report(self, node: str) -> NodeReport | None:
        url = f"http://{self.hosts[node].address}:{AGENT_PORT}/v1/status"
        try:
            answer = httpx.get(url, timeout=0.5, trust_env=False)
            return codec.from_json(answer.content, NodeReport) if answer.is_success else None
        except (httpx.HTTPError, codec.ModelError):
            return None

    def wait(self, what: str, ready: Callable[[View], bool], seconds: float) -> View:
        """Until the nodes' view is as it should be. Raises DemoFault."""
        deadline = time.monotonic() + seconds
        while True:
            seen = self.view()
            if ready(seen):
                return seen
            if time.monotonic() > deadline:
                states = ", ".join(f"{n} {r.state}" for n, r in seen.reports.items())
                raise DemoFault(f"{what}: not within {seconds:.0f} s ({states})")
            time.sleep(0.3)

    def all_serving(self, seen: View) -> bool:
        return all(
            name in seen.reports
            and seen.reports[name].announcing
            and seen.reports[name].state == "UP"
            for name in self.nodes
        )

    def streams(self) -> list[StreamSpec]:
        """An echo stream for each client, to the service in the nearest datacentre."""
        specs = []
        sites = sorted({host.place or "" for host in self.of_kind("client")})
        for host in self.of_kind("client"):
            home = self._home(sites.index(host.place or ""))
            specs.append(
                StreamSpec(
                    name=host.name,
                    netns=host.netns,
                    target=str(nth(home.services[0], 10)),
                    target_netns=self.hosts[f"{home.name}-svc"].netns,
                    rate=RATE,
                )
            )
        return specs

    def _home(self, number: int) -> Datacentre:
        """The datacentre that a site's clients go to (docs/lab.md)."""
        return self.deployment.datacentres[min(number, len(self.deployment.datacentres) - 1)]

    # doing -----------------------------------------------------------------

    def kill(self, node: str) -> float:
        """As a power cut does; epoch seconds at which it had fallen silent."""
        container.silence(self._layout, node)
        silent = time.time()
        power.kill(self._layout, node)
        return silent

    def start(self, node: str) -> None:
        power.start(self._layout, node)

    def drain(self, verb: str, node: str, seconds: int) -> subprocess.Popen[bytes]:
        """`anycastle node drain|resume NODE --wait`, begun."""
        assert verb in ("drain", "resume")
        more = ["--deadline", f"{seconds}s"] if verb == "drain" else []
        access = self.api.access
        variables = {
            "ANYCASTLE_URL": access.url,
            "ANYCASTLE_TOKEN": access.token,
            "ANYCASTLE_CA": str(access.ca),
        }
        return subprocess.Popen(
            [sys.executable, "-m", "anycastle.cli", "node", verb, node, "--wait", *more],
            cwd=CHECKOUT, env=os.environ | variables,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def takeover(self, enabled: bool) -> None:
        """On every node, and wait until they say so."""
        spread(lambda node: self.script(node, switch.script(enabled)), self.nodes)

        def said(seen: View) -> bool:
            return all(
                name in seen.reports
                and seen.reports[name].takeover != ""
                and (seen.reports[name].takeover == "off") != enabled
                for name in self.nodes
            )

        self.wait(f"takeover {'on' if enabled else 'off'}", said, 60)

    def reconnect(self) -> None:
        """Every client begins a session anew."""
        spread(lambda client: self.script(client, RECONNECT), self.clients)

    def script(self, host: str, text: str) -> str:
        """Shell lines in a host. Raises DemoFault with what they said."""
        command = ssh_command(self.lab.folder, self.hosts[host], ["-T"], "sh -eu -s")
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise DemoFault(f"{host}: {done.stderr.strip() or done.returncode}")
        return done.stdout


def spread(work: Callable[[T], U], items: Sequence[T]) -> list[tuple[T, U]]:
    """Of all items side by side."""
    with ThreadPoolExecutor(8) as pool:
        return list(zip(items, pool.map(work, items), strict=True))
