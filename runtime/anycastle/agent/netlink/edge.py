"""What the agent knows and says of the network around the WireGuard device.

What is ours carries PROTOCOL, our number among the routing protocols (`ip route`
and `ip rule` show it as `proto 66`; the kernel's own list ends at 42, those in use
above are 99 and 186-192). Addresses carry it, too (`IFA_PROTO`, Linux 5.18). It is
what makes it safe to delete leftovers: nothing of anybody else's has it.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address
from typing import Literal, Protocol

import msgspec

from anycastle.model.addresses import Address, Interface, Network

PROTOCOL = 66
MAIN_TABLE = 254
LOOPBACK = "lo"


class NetworkError(Exception):
    """The kernel refused a change. The message says what and why.

    missing: what it was about does not exist now (a device, a sysctl).
    """

    def __init__(self, reason: str, *, missing: bool = False) -> None:
        self.missing = missing
        super().__init__(reason)


class Link(msgspec.Struct, frozen=True):
    """A network device. kind: the kernel's word, "" for a physical one."""

    mtu: int
    up: bool
    kind: str = ""


class DeviceAddress(msgspec.Struct, frozen=True):
    """An address on a device, with its on-link prefix."""

    device: str
    interface: Interface

    def __str__(self) -> str:
        return f"address {self.interface} dev {self.device}"


class NextHop(msgspec.Struct, frozen=True):
    """A gateway behind a device."""

    device: str
    gateway: Address

    def __str__(self) -> str:
        return f"via {self.gateway} dev {self.device}"


def hops_in_order(hops: Iterable[NextHop]) -> tuple[NextHop, ...]:
    """The kernel gives IPv6 next hops back in an order of its own: this is ours."""
    return tuple(sorted(hops, key=lambda hop: (hop.device, str(hop.gateway))))


class RouteKind(enum.StrEnum):
    UNICAST = "unicast"
    UNREACHABLE = "unreachable"


class Route(msgspec.Struct, frozen=True):
    """A route of ours. metric: as the kernel shows it (never 0).

    source: what the kernel takes as the source of packets that have none yet.
    next_hops: of a unicast route, used side by side, as `hops_in_order` puts them.
    """

    table: int
    destination: Network
    metric: int
    kind: RouteKind = RouteKind.UNICAST
    source: Address | None = None
    next_hops: tuple[NextHop, ...] = ()

    @property
    def slot(self) -> tuple[int, Network, int]:
        """What the kernel has one route for: adding another one replaces it."""
        return self.table, self.destination, self.metric

    def __str__(self) -> str:
        kind = "" if self.kind is RouteKind.UNICAST else f"{self.kind} "
        source = f" src {self.source}" if self.source else ""
        hops = "".join(f" {hop}" for hop in self.next_hops)
        return (
            f"route {kind}{self.destination} table {self.table} metric {self.metric}{source}{hops}"
        )


class Rule(msgspec.Struct, frozen=True):
    """Packets with the firewall mark look their route up in the table."""

    version: Literal[4, 6]
    priority: int
    mark: int
    table: int

    def __str__(self) -> str:
        return f"rule ipv{self.version} {self.priority} fwmark {self.mark} table {self.table}"


class Sysctl(msgspec.Struct, frozen=True):
    """A kernel setting. name: as sysctl(8) has it, dotted, a dot in a part written /.

    required: the node can't do its work without; another's refusal is only told.
    """

    name: str
    value: str
    required: bool = True

    def __str__(self) -> str:
        return f"sysctl {self.name} = {self.value}"


class Tunnel(msgspec.Struct, frozen=True):
    """A VXLAN device that learns nothing. vni: 24 bits. port: UDP, both ways."""

    device: str
    mac: str
    vni: int
    local: IPv4Address
    port: int

    def __str__(self) -> str:
        return f"tunnel {self.device} {self.mac} vni {self.vni} local {self.local} port {self.port}"


class TunnelPeer(msgspec.Struct, frozen=True):
    """Where a tunnel sends frames for a hardware address (an FDB entry)."""

    device: str
    mac: str
    remote: IPv4Address

    def __str__(self) -> str:
        return f"tunnel peer {self.mac} at {self.remote} dev {self.device}"


class Neighbour(msgspec.Struct, frozen=True):
    """A permanent neighbour: no ARP or neighbour discovery for this address."""

    device: str
    address: Address
    mac: str

    def __str__(self) -> str:
        return f"neighbour {self.address} at {self.mac} dev {self.device}"


class NetworkState(msgspec.Struct, frozen=True):
    """What the kernel holds.

    addresses: all there are. own_addresses: those with our mark or on our devices.
    tunnels: by device; tunnel_peers, neighbours: permanent ones on our devices.
    """

    links: dict[str, Link]
    addresses: frozenset[DeviceAddress]
    own_addresses: frozenset[DeviceAddress]
    rules: frozenset[Rule]
    routes: frozenset[Route]
    sysctls: dict[str, str]
    tunnels: dict[str, Tunnel] = {}
    tunnel_peers: frozenset[TunnelPeer] = frozenset()
    neighbours: frozenset[Neighbour] = frozenset()


class SetLink(msgspec.Struct, frozen=True):
    """Set what is not None. mtu: bytes of an IP packet."""

    device: str
    mtu: int | None = None
    up: bool | None = None

    def __str__(self) -> str:
        parts = [f"mtu {self.mtu}"] if self.mtu is not None else []
        parts += ["up" if self.up else "down"] if self.up is not None else []
        return " ".join(["link", self.device, *parts])


class AddAddress(msgspec.Struct, frozen=True):
    address: DeviceAddress

    def __str__(self) -> str:
        return f"{self.address} add"


class RemoveAddress(msgspec.Struct, frozen=True):
    address: DeviceAddress

    def __str__(self) -> str:
        return f"{self.address} remove"


class PutRoute(msgspec.Struct, frozen=True):
    """Add, or replace what holds the slot."""

    route: Route

    def __str__(self) -> str:
        return f"{self.route} put"


class RemoveRoute(msgspec.Struct, frozen=True):
    route: Route

    def __str__(self) -> str:
        return f"{self.route} remove"


class AddRule(msgspec.Struct, frozen=True):
    rule: Rule

    def __str__(self) -> str:
        return f"{self.rule} add"


class RemoveRule(msgspec.Struct, frozen=True):
    rule: Rule

    def __str__(self) -> str:
        return f"{self.rule} remove"


class WriteSysctl(msgspec.Struct, frozen=True):
    sysctl: Sysctl

    def __str__(self) -> str:
        return str(self.sysctl)


class MakeTunnel(msgspec.Struct, frozen=True):
    tunnel: Tunnel

    def __str__(self) -> str:
        return f"{self.tunnel} make"


class RemoveTunnel(msgspec.Struct, frozen=True):
    device: str

    def __str__(self) -> str:
        return f"tunnel {self.device} remove"


class PutTunnelPeer(msgspec.Struct, frozen=True):
    peer: TunnelPeer

    def __str__(self) -> str:
        return f"{self.peer} put"


class RemoveTunnelPeer(msgspec.Struct, frozen=True):
    peer: TunnelPeer

    def __str__(self) -> str:
        return f"{self.peer} remove"


class PutNeighbour(msgspec.Struct, frozen=True):
    neighbour: Neighbour

    def __str__(self) -> str:
        return f"{self.neighbour} put"


class RemoveNeighbour(msgspec.Struct, frozen=True):
    neighbour: Neighbour

    def __str__(self) -> str:
        return f"{self.neighbour} remove"


# A tunnel goes only to be made anew: its removal is part of an addition.
NetworkRemoval = RemoveAddress | RemoveRoute | RemoveRule | RemoveTunnelPeer | RemoveNeighbour
NetworkAddition = AddAddress | PutRoute | AddRule | MakeTunnel | PutTunnelPeer | PutNeighbour
NetworkOperation = SetLink | WriteSysctl | RemoveTunnel | NetworkAddition | NetworkRemoval


class NetworkEdge(Protocol):
    """One network namespace. Blocking; calls must not overlap. May raise NetworkError."""

    def read(self, devices: Collection[str], sysctls: Collection[str]) -> NetworkState:
        """What there is. devices: ours. sysctls: names; those that don't exist are left out."""

    def apply(self, operation: NetworkOperation) -> None:
        """Carry out; adding what is there and removing what is not is no error."""

    def source_of(self, mark: int, destination: Address) -> Address | None:
        """The source address of a packet with this firewall mark; None: no route."""

    def close(self) -> None: ...
