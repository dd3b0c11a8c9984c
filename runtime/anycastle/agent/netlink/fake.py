"""The network edge in memory: for tests."""

from __future__ import annotations

from collections.abc import Collection

from anycastle.agent.netlink.edge import (
    LOOPBACK,
    AddAddress,
    AddRule,
    DeviceAddress,
    Link,
    MakeTunnel,
    Neighbour,
    NetworkError,
    NetworkOperation,
    NetworkState,
    PutNeighbour,
    PutRoute,
    PutTunnelPeer,
    RemoveAddress,
    RemoveNeighbour,
    RemoveRoute,
    RemoveRule,
    RemoveTunnel,
    RemoveTunnelPeer,
    Route,
    Rule,
    SetLink,
    Tunnel,
    TunnelPeer,
    WriteSysctl,
)
from anycastle.model.addresses import Address


class FakeNetwork:
    """A NetworkEdge. refuse: operations, as text, that fail. sent: all that were tried.

    read_only: sysctls that can't be written. links: SetLink makes a missing one, as
    the WireGuard device's own edge would have.
    """

    def __init__(self) -> None:
        self.links: dict[str, Link] = {}
        self.addresses: dict[DeviceAddress, bool] = {}
        self.rules: set[Rule] = set()
        self.routes: dict[tuple[object, ...], Route] = {}
        self.sysctls: dict[str, str] = {}
        self.tunnels: dict[str, Tunnel] = {}
        self.tunnel_peers: dict[tuple[str, str], TunnelPeer] = {}
        self.neighbours: dict[tuple[str, Address], Neighbour] = {}
        self.read_only: set[str] = set()
        self.refuse: set[str] = set()
        self.sent: list[NetworkOperation] = []

    def read(self, devices: Collection[str], sysctls: Collection[str]) -> NetworkState:
        ours = {
            address
            for address, marked in self.addresses.items()
            if marked or (address.device in devices and address.device != LOOPBACK)
        }
        return NetworkState(
            dict(self.links),
            frozenset(self.addresses),
            frozenset(ours),
            frozenset(self.rules),
            frozenset(self.routes.values()),
            {name: self.sysctls[name] for name in sysctls if name in self.sysctls},
            dict(self.tunnels),
            frozenset(self.tunnel_peers.values()),
            frozenset(self.neighbours.values()),
        )

    def apply(self, operation: NetworkOperation) -> None:
        self.sent.append(operation)
        if str(operation) in self.refuse:
            raise NetworkError(f"{operation} failed: refused by the fake")
        if isinstance(operation, SetLink):
            self._set_link(operation)
        elif isinstance(operation, AddAddress):
            self.addresses.setdefault(operation.address, True)
        elif isinstance(operation, RemoveAddress):
            self.addresses.pop(operation.address, None)
        elif isinstance(operation, AddRule):
            self.rules.add(operation.rule)
        elif isinstance(operation, RemoveRule):
            self.rules.discard(operation.rule)
        elif isinstance(operation, PutRoute):
            self.routes[operation.route.slot] = operation.route
        elif isinstance(operation, RemoveRoute):
            self.routes.pop(operation.route.slot, None)
        elif isinstance(operation, WriteSysctl):
            self._write(operation.sysctl.name, operation.sysctl.value)

        else:
            self._apply_to_tunnel(operation)

    def _apply_to_tunnel(self, operation: NetworkOperation) -> None:
        if isinstance(operation, MakeTunnel):
            self.tunnels[operation.tunnel.device] = operation.tunnel
            self.links[operation.tunnel.device] = Link(1500, up=False, kind="vxlan")
        elif isinstance(operation, RemoveTunnel):
            self.vanish(operation.device)
        elif isinstance(operation, PutTunnelPeer):
            peer = operation.peer
            self.tunnel_peers[peer.device, peer.mac] = peer
        elif isinstance(operation, RemoveTunnelPeer):
            self.tunnel_peers.pop((operation.peer.device, operation.peer.mac), None)
        elif isinstance(operation, PutNeighbour):
            neighbour = operation.neighbour
            self.neighbours[neighbour.device, neighbour.address] = neighbour
        elif isinstance(operation, RemoveNeighbour):
            gone = operation.neighbour
            self.neighbours.pop((gone.device, gone.address), None)

    def source_of(self, mark: int, destination: Address) -> Address | None:
        """By the rules and the most specific route, as the kernel would."""
        tables = [
            rule.table
            for rule in sorted(self.rules, key=lambda rule: rule.priority)
            if rule.mark == mark and rule.version == destination.version
        ]
        for table in tables:
            fitting = [
                route
                for route in self.routes.values()
                if route.table == table and destination in route.destination
            ]
            if fitting:
                return max(fitting, key=lambda route: route.destination.prefixlen).source
        return None

    def close(self) -> None:
        pass

    def vanish(self, device: str) -> None:
        """Take a device away with all that was on it."""
        self.links.pop(device, None)
        self.tunnels.pop(device, None)
        self.tunnel_peers = {
            key: peer for key, peer in self.tunnel_peers.items() if peer.device != device
        }
        self.neighbours = {key: one for key, one in self.neighbours.items() if one.device != device}
        self.addresses = {
            address: marked
            for address, marked in self.addresses.items()
            if address.device != device
        }

    def _set_link(self, operation: SetLink) -> None:
        old = self.links.get(operation.device, Link(1420, up=False, kind="wireguard"))
        self.links[operation.device] = Link(
            old.mtu if operation.mtu is None else operation.mtu,
            old.up if operation.up is None else operation.up,
            old.kind,
        )

    def _write(self, name: str, value: str) -> None:
        if name in self.read_only:
            raise NetworkError(f"sysctl {name} = {value} failed: Read-only file system")
        self.sysctls[name] = value
