"""The network edge over rtnetlink and /proc/sys."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from anycastle.agent.netlink import messages, sysctl
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
from anycastle.agent.netlink.socket import (
    NETLINK_ROUTE,
    NLM_F_CREATE,
    NLM_F_EXCL,
    NLM_F_REPLACE,
    NetlinkError,
    NetlinkSocket,
)
from anycastle.model.addresses import Address

_GONE = {errno.ENODEV, errno.ENXIO, errno.ENOENT}
_ABSENT = {errno.ESRCH, errno.EADDRNOTAVAIL, *_GONE}
_IFINFOMSG = struct.Struct("=BxHiII")


class KernelNetwork:
    """A NetworkEdge: the namespace of the thread that makes it (and, for sysctls, that calls)."""

    def __init__(self) -> None:
        self._socket = NetlinkSocket(NETLINK_ROUTE)
        self._actions: dict[type, Callable[[Any], None]] = {
            SetLink: self._set_link,
            MakeTunnel: self._make_tunnel,
            RemoveTunnel: lambda operation: self.delete_link(operation.device),
            PutTunnelPeer: self._put_tunnel_peer,
            RemoveTunnelPeer: self._remove_tunnel_peer,
            PutNeighbour: self._put_neighbour,
            RemoveNeighbour: self._remove_neighbour,
            AddAddress: self._add_address,
            RemoveAddress: self._remove_address,
            PutRoute: self._put_route,
            RemoveRoute: self._remove_route,
            AddRule: self._add_rule,
            RemoveRule: self._remove_rule,
            WriteSysctl: self._write_sysctl,
        }

    def read(self, devices: Collection[str], sysctls: Collection[str]) -> NetworkState:
        with _reason("the kernel's network state can't be read"):
            names, links, tunnels = self._links()
            present, ours = self._addresses(names, devices)
            return NetworkState(
                links=links,
                addresses=present,
                own_addresses=ours,
                rules=self._rules(),
                routes=self._routes(names),
                sysctls={
                    name: value for name in sysctls if (value := sysctl.read(name)) is not None
                },
                tunnels=tunnels,
                tunnel_peers=self._tunnel_peers(names, devices),
                neighbours=self._neighbours(names, devices),
            )

    def apply(self, operation: NetworkOperation) -> None:
        with _reason(f"{operation} failed"):
            self._actions[type(operation)](operation)

    def source_of(self, mark: int, destination: Address) -> Address | None:
        try:
            body = messages.lookup_request(mark, destination)
            answers = self._socket.request(messages.RTM_GETROUTE, body)
        except NetlinkError as error:
            # An unreachable route answers with the error a packet would get.
            if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EACCES, errno.EINVAL):
                return None
            raise NetworkError(f"route lookup of {destination} failed: {error.strerror}") from error
        return messages.lookup_source(answers[0])

    def link(self, device: str) -> Link | None:
        """The state of one device; None: there is none."""
        body = self._link_body(device)
        return None if body is None else messages.link_of(body)[2]

    def exists(self, device: str) -> bool:
        """Is there such a device? Cheaper than `link`."""
        return self._link_body(device) is not None

    def make_link(self, device: str, kind: str) -> None:
        """Make a device; nothing happens when there is one of the name."""
        with _reason(f"device {device} of kind {kind} can't be made"), _unless({errno.EEXIST}):
            body = messages.link_new(device, kind)
            self._socket.request(messages.RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL)

    def delete_link(self, device: str) -> None:
        with _reason(f"device {device} can't be deleted"), _unless(_GONE):
            self._socket.request(messages.RTM_DELLINK, messages.link_request(device))

    def close(self) -> None:
        self._socket.close()

    # reading

    def _links(self) -> tuple[dict[int, str], dict[str, Link], dict[str, Tunnel]]:
        names: dict[int, str] = {}
        links: dict[str, Link] = {}
        tunnels: dict[str, Tunnel] = {}
        for body in self._socket.dump(messages.RTM_GETLINK, _IFINFOMSG.pack(0, 0, 0, 0, 0)):
            index, name, link = messages.link_of(body)
            names[index], links[name] = name, link
            if link.kind == "vxlan" and (tunnel := messages.tunnel_of(body)) is not None:
                tunnels[name] = tunnel
        return names, links, tunnels

    def _addresses(
        self, names: dict[int, str], devices: Collection[str]
    ) -> tuple[frozenset[DeviceAddress], frozenset[DeviceAddress]]:
        """(all there are, ours: marked or on a device of ours)."""
        ours, present = set(), set()
        for body in self._socket.dump(messages.RTM_GETADDR, bytes(8)):
            found = messages.address_of(body, names)
            if found is None:
                continue
            address, marked = found
            present.add(address)
            if marked or (address.device in devices and address.device != LOOPBACK):
                ours.add(address)
        return frozenset(present), frozenset(ours)

    def _rules(self) -> frozenset[Rule]:
        bodies = (
            body
            for version in (4, 6)
            for body in self._socket.dump(messages.RTM_GETRULE, messages.rules_request(version))
        )
        return frozenset(rule for body in bodies if (rule := messages.rule_of(body)) is not None)

    def _routes(self, names: dict[int, str]) -> frozenset[Route]:
        bodies = (
            body
            for version in (4, 6)
            for body in self._socket.dump(messages.RTM_GETROUTE, messages.routes_request(version))
        )
        routes = (messages.route_of(body, names) for body in bodies)
        return frozenset(route for route in routes if route is not None)

    def _neighbours(self, names: dict[int, str], devices: Collection[str]) -> frozenset[Neighbour]:
        bodies = (
            body
            for family in (socket.AF_INET, socket.AF_INET6)
            for body in self._socket.dump(
                messages.RTM_GETNEIGH, messages.neighbours_request(family)
            )
        )
        found = (messages.neighbour_of(body, names) for body in bodies)
        return frozenset(one for one in found if one is not None and one.device in devices)

    def _tunnel_peers(
        self, names: dict[int, str], devices: Collection[str]
    ) -> frozenset[TunnelPeer]:
        body = messages.neighbours_request(socket.AF_BRIDGE)
        bodies = self._socket.dump(messages.RTM_GETNEIGH, body)
        found = (messages.tunnel_peer_of(body, names) for body in bodies)
        return frozenset(one for one in found if one is not None and one.device in devices)

    # changing

    def _link_body(self, device: str) -> bytes | None:
        try:
            body = messages.link_request(device)
            (answer,) = self._socket.request(messages.RTM_GETLINK, body)
        except NetlinkError as error:
            if error.errno in _GONE:
                return None
            raise NetworkError(f"link {device} can't be read: {error.strerror}") from error
        return answer

    def _index(self, device: str) -> int:
        """Asked for each time: a device that was made again has another number."""
        body = self._link_body(device)
        if body is None:
            raise NetworkError(f"there is no device {device}", missing=True)
        return int(_IFINFOMSG.unpack_from(body)[2])

    def _set_link(self, operation: SetLink) -> None:
        index = self._index(operation.device)
        body = messages.link_set(index, operation.mtu, operation.up)
        self._socket.request(messages.RTM_NEWLINK, body)

    def _make_tunnel(self, operation: MakeTunnel) -> None:
        with _unless({errno.EEXIST}):
            body = messages.tunnel_new(operation.tunnel)
            self._socket.request(messages.RTM_NEWLINK, body, NLM_F_CREATE | NLM_F_EXCL)

    def _put_tunnel_peer(self, operation: PutTunnelPeer) -> None:
        body = messages.tunnel_peer_body(operation.peer, self._index(operation.peer.device))
        self._socket.request(messages.RTM_NEWNEIGH, body, NLM_F_CREATE | NLM_F_REPLACE)

    def _remove_tunnel_peer(self, operation: RemoveTunnelPeer) -> None:
        body = messages.tunnel_peer_body(operation.peer, self._index(operation.peer.device))
        with _unless(_ABSENT):
            self._socket.request(messages.RTM_DELNEIGH, body)

    def _put_neighbour(self, operation: PutNeighbour) -> None:
        index = self._index(operation.neighbour.device)
        body = messages.neighbour_body(operation.neighbour, index)
        self._socket.request(messages.RTM_NEWNEIGH, body, NLM_F_CREATE | NLM_F_REPLACE)

    def _remove_neighbour(self, operation: RemoveNeighbour) -> None:
        index = self._index(operation.neighbour.device)
        body = messages.neighbour_body(operation.neighbour, index)
        with _unless(_ABSENT):
            self._socket.request(messages.RTM_DELNEIGH, body)

    def _add_address(self, operation: AddAddress) -> None:
        body = messages.address_body(operation.address, self._index(operation.address.device))
        with _unless({errno.EEXIST}):
            self._socket.request(messages.RTM_NEWADDR, body, NLM_F_CREATE | NLM_F_EXCL)

    def _remove_address(self, operation: RemoveAddress) -> None:
        body = messages.address_body(operation.address, self._index(operation.address.device))
        with _unless(_ABSENT):
            self._socket.request(messages.RTM_DELADDR, body)

    def _put_route(self, operation: PutRoute) -> None:
        self._socket.request(
            messages.RTM_NEWROUTE, self._route_body(operation.route), NLM_F_CREATE | NLM_F_REPLACE
        )

    def _remove_route(self, operation: RemoveRoute) -> None:
        with _unless(_ABSENT):
            self._socket.request(messages.RTM_DELROUTE, self._route_body(operation.route))

    def _route_body(self, route: Route) -> bytes:
        indices = {hop.device: self._index(hop.device) for hop in route.next_hops}
        return messages.route_body(route, indices)

    def _add_rule(self, operation: AddRule) -> None:
        with _unless({errno.EEXIST}):
            body = messages.rule_body(operation.rule)
            self._socket.request(messages.RTM_NEWRULE, body, NLM_F_CREATE | NLM_F_EXCL)

    def _remove_rule(self, operation: RemoveRule) -> None:
        with _unless(_ABSENT):
            self._socket.request(messages.RTM_DELRULE, messages.rule_body(operation.rule))

    def _write_sysctl(self, operation: WriteSysctl) -> None:
        sysctl.write(operation.sysctl.name, operation.sysctl.value)


@contextmanager
def _unless(expected: set[int]) -> Iterator[None]:
    """Swallow an error that means that there is nothing to do."""
    try:
        yield
    except NetlinkError as error:
        if error.errno not in expected:
            raise


@contextmanager
def _reason(what: str) -> Iterator[None]:
    """Turn an OSError into a NetworkError that says what was being done."""
    try:
        yield
    except NetworkError as error:
        raise NetworkError(f"{what}: {error}", missing=error.missing) from None
    except OSError as error:
        raise NetworkError(f"{what}: {error.strerror}", missing=error.errno in _GONE) from error
