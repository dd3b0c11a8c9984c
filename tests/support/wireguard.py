"""A node and a client in namespaces of their own, with real WireGuard on both.

    client ── up0 ══ veth ══ up0 ── node        10.65.0.2/31 ─ 10.65.0.3/31, fd00:65::2 ─ ::3

The node is brought up by the code under test, with the kind of device that it
chooses; the client has the same kind, set up with `wg` and `ip`.
"""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from anycastle.agent.apply import ApplyResult, reconcile
from anycastle.agent.desired import Desired, desired
from anycastle.agent.diff import diff, render
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.observed import observe
from anycastle.agent.wireguard.choose import choose_edge
from anycastle.agent.wireguard.edge import PeerSample, WireGuardEdge
from anycastle.model.addresses import Address
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key
from anycastle.model.node import NodeSpec
from tests.support.namespaces import Namespace, join, namespaces, run, unique_device
from tests.support.node import ANYCAST4, NOW, SERVICE_KEY, client, clients, node_spec
from tests.support.waiting import wait_for

PRESHARED = Key(b"\x5a" * 32)
SERVICE_PUBLIC_KEY = Key(
    X25519PrivateKey.from_private_bytes(SERVICE_KEY).public_key().public_bytes_raw()
)
CLIENT_PORT = 40000
PORT = 51820


@dataclass(frozen=True)
class World:
    """node, far: the namespaces. enrolled: the client whose device is in `far`."""

    node: Namespace
    far: Namespace
    far_device: str
    spec: NodeSpec
    edge: WireGuardEdge
    network: KernelNetwork
    enrolled: Client

    def desired(self, *more: Client) -> Desired:
        return desired(self.spec, SERVICE_KEY, clients(self.enrolled, *more), NOW)

    def reconcile(self, *more: Client) -> ApplyResult:
        with self.node.entered():
            return reconcile(self.desired(*more), self.edge, self.network)

    def differs(self, *more: Client) -> str:
        """What a reconcile would do, as text."""
        wanted = self.desired(*more)
        with self.node.entered():
            return render(diff(wanted, observe(wanted, self.edge, self.network)))

    def sample(self) -> PeerSample:
        """The node's view of the client."""
        (credential,) = self.enrolled.credentials
        (found,) = (one for one in self.edge.sample() if one.public_key == credential.public_key)
        return found

    def connect(self, endpoint: Address | None = ANYCAST4) -> None:
        """Configure the client's peer anew, without a session. None: it waits for the node."""
        service = SERVICE_PUBLIC_KEY
        self.disconnect()
        shown = f"[{endpoint}]" if endpoint and endpoint.version == 6 else endpoint
        where = f" endpoint {shown}:{PORT}" if endpoint else ""
        psk = Path("/run", f"{self.far_device}.psk")
        psk.write_text(PRESHARED.text)
        try:
            self.far.run(
                f"wg set {self.far_device} peer {service.text} preshared-key {psk} "
                f"allowed-ips 10.200.0.0/16,fd00:200::/64{where}"
            )
        finally:
            psk.unlink()

    def disconnect(self) -> None:
        """The client forgets the service: it answers nothing and begins nothing."""
        self.far.run(f"wg set {self.far_device} peer {SERVICE_PUBLIC_KEY.text} remove")

    def ping(self, count: int = 1, interval: float = 0.2) -> int:
        """Pings from the client to the node's gateway address; how many were lost."""
        text = self.far.run(f"ping -q -c {count} -i {interval} -W 2 10.200.0.1", check=False)
        match = re.search(r"(\d+) packets transmitted, (\d+) received", text)
        assert match, text
        return int(match[1]) - int(match[2])

    def route_to_client(self) -> None:
        """What the routing daemon does on a real node."""
        device = self.spec.wireguard.device
        self.node.batch(
            *(f"route replace {address} dev {device}" for address in self.enrolled.addresses)
        )

    def handshake(self) -> PeerSample:
        """A session, begun by the client."""
        self.route_to_client()
        self.connect()
        wait_for("a handshake", lambda: self.ping() == 0, 30)
        wait_for("its confirmation", lambda: self.sample().latest_handshake, 5, every=0.02)
        return self.sample()


class Daemons:
    """wireguard-go processes by device."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def starter(self, space: Namespace) -> Callable[[str], None]:
        return lambda device: self.start(space, device)

    def start(self, space: Namespace, device: str) -> None:
        self.stop(device)
        log = self._folder / f"{device}.log"
        self._running[device] = space.popen(f"wireguard-go -f {device}", log)

    def stop(self, device: str) -> None:
        if process := self._running.pop(device, None):
            process.terminate()
            process.wait(10)

    def kill(self, device: str) -> None:
        """End it without giving it a chance to clean up."""
        process = self._running.pop(device)
        process.kill()
        process.wait(10)

    @contextmanager
    def stopped(self, device: str) -> Iterator[None]:
        """It hangs for the time (SIGSTOP)."""
        process = self._running[device]
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    def stop_all(self) -> None:
        for device in list(self._running):
            self.stop(device)


@dataclass(frozen=True)
class FarSide:
    """The client's namespace and device, which serve many worlds."""

    space: Namespace
    device: str
    public_key: Key
    daemons: Daemons


@contextmanager
def far_side(folder: Path) -> Iterator[FarSide]:
    """A client's device, of the kind that a node would choose. folder: for daemons' output."""
    with namespaces("far") as (far,), running_daemons(folder) as daemons:
        device = unique_device()
        with far.entered():
            edge = choose_edge(device)
        edge.close()
        private = make_client(far, device, edge.kind, daemons)
        yield FarSide(far, device, public_key(private), daemons)


@contextmanager
def world(far: FarSide) -> Iterator[World]:
    """A world whose node is still empty."""
    with ExitStack() as stack:
        (node,) = stack.enter_context(namespaces("node"))
        _wire(node, far.space)
        # Deleting a namespace takes its devices away some time later only.
        stack.callback(far.space.batch, "link delete up0")
        spec = node_spec(device=unique_device())
        device = spec.wireguard.device
        start, stop = far.daemons.starter(node), far.daemons.stop
        stack.callback(stop, device)
        with node.entered():
            edge = choose_edge(device, start=start, stop=stop)
            stack.callback(edge.close)
            network = KernelNetwork()
            stack.callback(network.close)
        credential = Credential(id="a", public_key=far.public_key, preshared_key=PRESHARED)
        yield World(node, far.space, far.device, spec, edge, network, client(0, credential))


def public_key(private: Key) -> Key:
    done = subprocess.run(
        ["wg", "pubkey"], input=private.text, capture_output=True, text=True, check=True
    )
    return Key.from_text(done.stdout.strip())


@contextmanager
def running_daemons(folder: Path) -> Iterator[Daemons]:
    """folder: for their output."""
    daemons = Daemons(folder)
    try:
        yield daemons
    finally:
        daemons.stop_all()


def _wire(node: Namespace, far: Namespace) -> None:
    join(node, "up0", far, "up0")
    node.batch(
        "link set up0 up",
        "address add 10.65.0.3/31 dev up0",
        "address add fd00:65::3/127 dev up0 nodad",
    )
    far.batch(
        "link set up0 up",
        "address add 10.65.0.2/31 dev up0",
        "address add fd00:65::2/127 dev up0 nodad",
        "route add default via 10.65.0.3",
        "route add default via fd00:65::3",
    )


def make_client(far: Namespace, device: str, kind: str, daemons: Daemons) -> Key:
    """The client's device, up, with its addresses; its private key."""
    if kind == "kernel":
        far.batch(f"link add {device} type wireguard")
    else:
        daemons.start(far, device)
        socket = Path(f"/var/run/wireguard/{device}.sock")
        wait_for("wireguard-go", socket.exists, 5, every=0.02)
    private = Key.from_text(run("wg genkey").strip())
    file = Path("/run", f"{device}.key")
    file.write_text(private.text)
    far.run(f"wg set {device} private-key {file} listen-port {CLIENT_PORT}")
    file.unlink()
    far.batch(
        f"address add 10.200.0.16/16 dev {device}",
        f"address add fd00:200::10/64 dev {device} nodad",
        f"link set {device} mtu 1380 up",
    )
    return private
