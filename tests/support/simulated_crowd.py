"""Simulated clients in a lab: hundreds behind one site's NAT router, in one process.

They are enrolled as any client is and reach the service through the site's access LAN, the
NAT router, the cores and the edges; what is simulated is WireGuard on the client's side
(tests/support/simulated_client.py), so that a thousand take a fraction of a core.
"""

from __future__ import annotations

import secrets
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from anycastle.cli import keys
from anycastle.cli.api import Api
from anycastle.model import codec, wg_quick
from anycastle.model.api import ClientCreate, ClientCreated
from tests.support.crowd import Guest, plug, unplug
from tests.support.simulated_process import Command, Member, Report, Setup
from tests.support.waiting import NotInTime, wait_for

if TYPE_CHECKING:
    from tests.support.lab import Lab

CHECKOUT = Path(__file__).resolve().parents[2]
NUMBER = 50
"""Its LAN address is .250: no guest's (tests/support/crowd.py)."""
PACE = 100.0
"""First handshakes a second: a node far from load answers all of them."""
ENROLLING = 4


class SimulatedGone(Exception):
    """The process of the simulated clients ended. The message has what it said."""


@dataclass(frozen=True)
class Enrolled:
    """client: id in the control plane."""

    client: str
    member: Member
    created: ClientCreated


class SimulatedCrowd:
    """Running clients; `connect` them first."""

    def __init__(self, setup: Setup, ids: dict[str, str]) -> None:
        """ids: names by the control plane's id."""
        self.names = [member.name for member in setup.members]
        self.setup = setup
        self._ids = ids
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.simulated_process"],
            cwd=CHECKOUT,
            env={"PYTHONPATH": str(CHECKOUT / "runtime"), "PATH": "/usr/bin:/bin"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            self._say(codec.to_json(setup))
        except BaseException:
            self.close()
            raise

    def connect(self, names: Sequence[str] | None = None, pace: float = PACE) -> None:
        """Begin anew from new ports, and wait until they have been answered."""
        chosen = self.names if names is None else list(names)
        began = time.time()
        self._ask(Command(do="connect", names=tuple(chosen), pace=pace))
        wanted = set(chosen)

        def silent() -> bool:
            return not {c.name for c in self.report().clients if c.last < began} & wanted

        wait_for(f"{len(chosen)} simulated clients", silent, len(chosen) / pace + 60, every=0.5)

    def gather(self, lab: Lab, node: str, say: Callable[[str], None], tries: int = 25) -> None:
        """Until the node serves all: whom another one serves tries another port.

        Which node a port leads to is the edge router's hash, as in the world. Raises NotInTime.
        """
        strays: list[str] = []
        for _ in range(tries):
            # Longer than agents take to see a session that began just now.
            time.sleep(2)
            strays = self.strays(lab, node)
            if not strays:
                return
            say(f"{len(strays)} of {len(self.names)} simulated clients are not with {node} yet")
            self.connect(strays)
        raise NotInTime(f"{len(strays)} simulated clients never came to {node}")

    def strays(self, lab: Lab, node: str) -> list[str]:
        """Those that the node does not say it serves."""
        report = lab.report(node)
        served = {self._ids.get(session.client) for session in report.sessions} if report else set()
        return [name for name in self.names if name not in served]

    def owners(self, lab: Lab) -> dict[str, list[str]]:
        """Which nodes say that they serve each client."""
        found: dict[str, list[str]] = {name: [] for name in self.names}
        for node, report in lab.reports().items():
            for session in report.sessions if report else ():
                if name := self._ids.get(session.client):
                    found[name].append(node)
        return found

    def mark(self) -> None:
        """Now is the beginning of what `report` tells."""
        self._ask(Command(do="mark"))

    def report(self) -> Report:
        return self._ask(Command(do="report"))

    def all_back(self, timeout: float) -> Report:
        """The report as soon as every client was answered since the mark, or then."""
        deadline = time.monotonic() + timeout
        while True:
            report = self.report()
            if all(c.back is not None for c in report.clients) or time.monotonic() > deadline:
                return report
            time.sleep(0.25)

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with suppress(BrokenPipeError):
                    stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, command: Command) -> Report:
        return self._say(msgspec.json.encode(command))

    def _say(self, line: bytes) -> Report:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            assert self._process.stderr is not None
            raise SimulatedGone(self._process.stderr.read().decode(errors="replace")[-3000:])
        return msgspec.json.decode(answer, type=Report)


@contextmanager
def simulated(
    lab: Lab, site: str, number: int, interval: float = 0.5, keepalive: float = 25.0
) -> Iterator[SimulatedCrowd]:
    """That many clients at a site, enrolled while the block runs. interval: of pings."""
    mark = secrets.token_hex(2)
    cable = Guest(f"sim-{mark}", site, f"ac-{lab.name}-{site}-sim", f"as{mark}", NUMBER)
    names = [f"sim-{mark}-{n}" for n in range(number)]
    try:
        plug(lab, cable)
        enrolled = enrol(lab, names)
        first = enrolled[0].created.connection
        setup = Setup(
            netns=cable.netns,
            endpoint=wg_quick.choose_endpoint(first.endpoints, "ipv4"),
            service=first.service_public_key.text,
            target=IPv4Address(lab.service(home(lab, site)).v4),
            interval=interval,
            keepalive=keepalive,
            members=tuple(each.member for each in enrolled),
        )
        crowd = SimulatedCrowd(setup, {each.client: each.member.name for each in enrolled})
        try:
            yield crowd
        finally:
            crowd.close()
    finally:
        unplug(cable)
        remove(lab, names)


def home(lab: Lab, site: str) -> str:
    return lab.deployment.datacentres[0 if site == "site1" else 1].name


def enrol(lab: Lab, names: Sequence[str]) -> list[Enrolled]:
    with lab.api() as api, ThreadPoolExecutor(ENROLLING) as pool:
        return list(pool.map(lambda name: enrol_one(api, name), names))


def enrol_one(api: Api, name: str) -> Enrolled:
    private, preshared = keys.new_private_key(), keys.new_preshared_key()
    body = ClientCreate(name=name, public_key=keys.public_key(private), preshared_key=preshared)
    created = api.post(ClientCreated, body, "clients")
    (address,) = (a for a in created.client.addresses if isinstance(a, IPv4Address))
    member = Member(name=name, private=private.text, preshared=preshared.text, address=address)
    return Enrolled(created.client.id, member, created)


def remove(lab: Lab, names: Sequence[str]) -> None:
    """Those that are there."""

    def one(name: str) -> None:
        with suppress(Exception):
            api.delete("clients", name)

    with suppress(Exception), lab.api() as api, ThreadPoolExecutor(ENROLLING) as pool:
        list(pool.map(one, names))
