"""Stock clients behind one NAT router, beside the nodes of an agent_world.

    client 1 -- lan1 -- nat -- wan -- edge        203.0.113.0/31, 2001:db8:200::/127
    client 2 -- lan2 --+                          the NAT is one of ports, of both families

A mapping of the NAT lives for two seconds without packets, so that tests see it go.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from anycastle.model.addresses import Endpoint
from anycastle.model.codec import Key
from tests.support.bgp_world import add_address, veth
from tests.support.namespaces import Namespace, run, unique_device
from tests.support.waiting import wait_for

OUTSIDE = {4: ip_address("203.0.113.1"), 6: ip_address("2001:db8:200::1")}
"""The NAT's addresses, which all of the site's packets come from."""
NAT = """
table inet nat { chain post {
    type nat hook postrouting priority 100; oif wan meta l4proto udp masquerade;
}; }
"""


@dataclass
class Client:
    """A stock client behind NAT. port: its own, which the NAT keeps where it is free."""

    space: Namespace
    device: str
    private: Key
    public: Key
    daemon: subprocess.Popen[bytes]
    addresses: list[str] = field(default_factory=list)
    connection: dict[str, Any] = field(default_factory=dict)

    @property
    def port(self) -> int:
        return int(self.space.run(f"wg show {self.device} listen-port"))

    def endpoint(self, version: int = 4) -> Endpoint:
        """Where nodes see its packets come from."""
        return Endpoint(OUTSIDE[version], self.port)

    def connect(self, connection: dict[str, Any], folder: Path) -> None:
        """What wg-quick does with the file that an operator hands out."""
        self.connection = connection
        key = folder / f"{self.device}.key"
        key.write_text(self.private.text)
        self.space.run(f"wg set {self.device} private-key {key}")
        self.begin()
        for address in self.addresses:
            plen = 128 if ":" in address else 32
            run(f"ip -n {self.space.name} address replace {address}/{plen} dev {self.device}")
        run(f"ip -n {self.space.name} link set {self.device} mtu {connection['mtu']} up")
        for network in connection["allowed_ips"]:
            run(f"ip -n {self.space.name} route replace {network} dev {self.device}")

    def begin(self, version: int = 4, keepalive: int | None = None) -> None:
        """A new session, over IPv4 or IPv6. keepalive: None: the operator's."""
        service = self.connection["service_public_key"]
        endpoint = next(
            one for one in self.connection["endpoints"] if one.startswith("[") is (version == 6)
        )
        allowed = ",".join(self.connection["allowed_ips"])
        keepalive = self.connection["keepalive"] if keepalive is None else keepalive
        self.forget()
        self.space.run(
            f"wg set {self.device} peer {service} endpoint {endpoint} "
            f"allowed-ips {allowed} persistent-keepalive {keepalive}"
        )

    def forget(self) -> None:
        """It does not know the service any more: neither sends nor answers."""
        service = self.connection["service_public_key"]
        self.space.run(f"wg set {self.device} peer {service} remove")

    def move(self, port: int) -> None:
        """Its packets come from another port from now on, as after a restart of the NAT."""
        self.space.run(f"wg set {self.device} listen-port {port}")

    def freeze(self) -> None:
        self.daemon.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.daemon.send_signal(signal.SIGCONT)

    def ping(self, address: str = "10.200.0.1", count: int = 1) -> bool:
        done = self.space.run(f"ping -q -c {count} -i 0.1 -W 1 {address}", check=False)
        return f" {count} received" in done


def make_site(
    stack: ExitStack, folder: Path, edge: Namespace, nat: Namespace, spaces: Sequence[Namespace]
) -> list[Client]:
    """The site, with a client in each of `spaces`."""
    veth(nat, "wan", edge, "site")
    for near, far, length in (
        ("203.0.113.0", OUTSIDE[4], 31),
        ("2001:db8:200::", OUTSIDE[6], 127),
    ):
        add_address(edge, "site", f"{near}/{length}")
        add_address(nat, "wan", f"{far}/{length}")
        run(f"ip -n {nat.name} route add default via {near}")
    for key in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
        nat.run(f"sysctl -qw {key}=1")
    file = folder / "nat.nft"
    file.write_text(NAT)
    nat.run(f"nft -f {file}")
    for key in ("udp_timeout", "udp_timeout_stream"):
        nat.run(f"sysctl -qw net.netfilter.nf_conntrack_{key}=2")
    return [_client(stack, folder, nat, space, n) for n, space in enumerate(spaces, 1)]


def _client(
    stack: ExitStack, folder: Path, nat: Namespace, space: Namespace, number: int
) -> Client:
    lan = f"lan{number}"
    veth(nat, lan, space, "eth0")
    for prefix, length in ((f"192.168.{number}.", 24), (f"fd00:a{number}::", 64)):
        add_address(nat, lan, f"{prefix}1/{length}")
        add_address(space, "eth0", f"{prefix}10/{length}")
        run(f"ip -n {space.name} route add default via {prefix}1")
    device = unique_device()
    daemon = space.popen(f"wireguard-go -f {device}", folder / f"{device}.log")
    stack.callback(_end, daemon)
    wait_for("the client's device", Path(f"/var/run/wireguard/{device}.sock").exists, 5, every=0.02)
    private = Key.from_text(run("wg genkey").strip())
    public = subprocess.run(
        ["wg", "pubkey"], input=private.text, capture_output=True, text=True, check=True
    )
    return Client(space, device, private, Key.from_text(public.stdout.strip()), daemon)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGCONT)
    process.terminate()
    process.wait(10)
