"""The operations that turn what is observed into what is desired. Pure.

Order: what is added comes first, and from the ground up, so that nothing is used
before the data path below it is complete; then what is left over goes, from the
top down. Operations are idempotent, and where nothing differs there are none.

    settings of the machine
    device, its settings, key port and mark, peers, link up
    tunnel to the other nodes, link up
    addresses, rules, routes, the other nodes on the tunnel
    -- removals --
    routes, rules, addresses, other nodes, peers

A peer that is gone is removed last but always (`apply` sees to that), whatever
became of the rest: it is a client that must no longer get in.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar

import msgspec

from anycastle.agent.desired import Desired, peers_of
from anycastle.agent.fabric import is_anew, peer_adds, peer_removals, tunnel_operations
from anycastle.agent.netlink.edge import (
    AddAddress,
    AddRule,
    Link,
    NetworkOperation,
    NetworkState,
    PutRoute,
    RemoveAddress,
    RemoveRoute,
    RemoveRule,
    Route,
    SetLink,
    Sysctl,
    WriteSysctl,
)
from anycastle.agent.observed import Observed
from anycastle.agent.wireguard.edge import (
    DeviceOperation,
    DeviceState,
    EnsureDevice,
    PeerConfig,
    PutPeer,
    Quiet,
    RemovePeer,
    SetDevice,
)
from anycastle.model.client import Client
from anycastle.model.codec import Key
from anycastle.model.feed import Change

T = TypeVar("T")
Operation = EnsureDevice | DeviceOperation | NetworkOperation

_NO_DEVICE = DeviceState(listen_port=0, fwmark=0, private_key=None, peers={})
_NO_LINK = Link(mtu=0, up=False)


def diff(desired: Desired, observed: Observed) -> list[Operation]:
    """Empty when the kernel holds what it should."""
    device = observed.wireguard
    present = device or _NO_DEVICE
    return [
        *_sysctls(desired, observed, of_device=False),
        *([EnsureDevice(desired.device)] if device is None else []),
        *_settings(desired, present),
        *_puts(desired.peers, present.peers),
        *_link(desired, observed),
        *tunnel_operations(desired.fabric, observed.network),
        *_sysctls(desired, observed, of_device=True),
        *_network_adds(desired, observed),
        *peer_adds(desired.fabric, observed.network),
        *_network_removals(desired, observed.network),
        *peer_removals(desired.fabric, observed.network),
        *_peer_removals(desired.peers, present.peers),
    ]


def change_operations(
    clients: Mapping[str, Client], change: Change, now: float
) -> list[DeviceOperation]:
    """The operations of one change of the feed, without reading the device.

    clients: by id, as they were before the change. Touches only the clients that
    the change names; puts before removals. What an earlier failure left is for the
    next full diff.
    """
    before = [clients[client.id] for client in change.put if client.id in clients]
    removed = [clients[name] for name in change.remove if name in clients]
    old, new = peers_of(before, now), peers_of(change.put, now)
    gone = [
        credential.public_key
        for client in (*before, *removed)
        # Also those that have ended: they may still be in the device.
        for credential in client.credentials
        if credential.public_key not in new
    ]
    return [*_puts(new, old), *(RemovePeer(key) for key in dict.fromkeys(gone))]


def render(operations: Iterable[Operation]) -> str:
    """One line for each operation, without secrets."""
    return "".join(f"{operation}\n" for operation in operations)


# wireguard -----------------------------------------------------------------


def _settings(desired: Desired, present: DeviceState) -> Iterator[SetDevice]:
    """Only what differs: setting a key again would end every session."""
    change = SetDevice(
        private_key=_unless_same(desired.private_key, present.private_key),
        listen_port=_unless_same(desired.listen_port, present.listen_port),
        fwmark=_unless_same(desired.fwmark, present.fwmark),
    )
    if change != SetDevice():
        yield change


def _unless_same(wanted: T, present: object) -> T | None:
    return None if wanted == present else wanted


def _puts(
    wanted: Mapping[Key, PeerConfig], present: Mapping[Key, PeerConfig]
) -> Iterator[PutPeer | Quiet]:
    for key, peer in wanted.items():
        old = present.get(key)
        if old is None:
            yield PutPeer(peer)
        elif old != peer:
            yield from _changes(old, peer)


def _changes(old: PeerConfig, peer: PeerConfig) -> Iterator[PutPeer | Quiet]:
    preshared_key = old.preshared_key != peer.preshared_key
    allowed_ips = old.allowed_ips != peer.allowed_ips
    if preshared_key or allowed_ips:
        yield PutPeer(peer, preshared_key=preshared_key, allowed_ips=allowed_ips)
    if old.keepalive:
        yield Quiet(peer.public_key)


def _peer_removals(
    wanted: Mapping[Key, PeerConfig], present: Mapping[Key, PeerConfig]
) -> Iterator[RemovePeer]:
    return (RemovePeer(key) for key in present if key not in wanted)


# network -------------------------------------------------------------------


def _link(desired: Desired, observed: Observed) -> Iterator[SetLink]:
    link = _NO_LINK
    if observed.wireguard is not None:
        link = observed.network.links.get(desired.device, _NO_LINK)
    if link.mtu != desired.mtu:
        yield SetLink(desired.device, mtu=desired.mtu)
    if not link.up:
        yield SetLink(desired.device, up=True)


def _sysctls(desired: Desired, observed: Observed, *, of_device: bool) -> Iterator[WriteSysctl]:
    """Those of a device that we make only exist when it does, so they come after it."""
    present = observed.network.sysctls
    anew = _made_anew(desired, observed)
    for sysctl in desired.sysctls:
        device = _names_one(sysctl, (desired.device, desired.fabric.tunnel.device))
        wanted = (device is not None) is of_device
        if wanted and (device in anew or present.get(sysctl.name) != sysctl.value):
            yield WriteSysctl(sysctl)


def _made_anew(desired: Desired, observed: Observed) -> set[str]:
    """Our devices that are missing, or are to go and come back."""
    anew = {desired.device} if observed.wireguard is None else set()
    if is_anew(desired.fabric, observed.network):
        anew.add(desired.fabric.tunnel.device)
    return anew


def _names_one(sysctl: Sysctl, devices: Iterable[str]) -> str | None:
    parts = sysctl.name.split(".")
    return next((device for device in devices if device.replace(".", "/") in parts), None)


def _network_adds(desired: Desired, observed: Observed) -> Iterator[NetworkOperation]:
    network = observed.network
    anew = _made_anew(desired, observed)
    held = {address for address in network.addresses if address.device not in anew}
    for address in sorted(desired.addresses - held, key=str):
        yield AddAddress(address)
    for rule in sorted(desired.rules - network.rules, key=str):
        yield AddRule(rule)
    routes = {_over_live_links(route, network.links) for route in desired.routes}
    for route in sorted(routes - network.routes, key=_route_order):
        yield PutRoute(route)


def _over_live_links(route: Route, links: Mapping[str, Link]) -> Route:
    """The route without next hops on links that are down: the kernel would refuse it whole.

    With all of them down it stays as it is, so that the refusal is seen.
    """
    live = tuple(hop for hop in route.next_hops if hop.device in links and links[hop.device].up)
    return msgspec.structs.replace(route, next_hops=live) if live else route


def _network_removals(desired: Desired, present: NetworkState) -> Iterator[NetworkOperation]:
    slots = {route.slot for route in desired.routes}
    left = (route for route in present.routes if route.slot not in slots)
    for route in sorted(left, key=_route_order, reverse=True):
        yield RemoveRoute(route)
    for rule in sorted(present.rules - desired.rules, key=str):
        yield RemoveRule(rule)
    for address in sorted(present.own_addresses - desired.addresses, key=str):
        yield RemoveAddress(address)


def _route_order(route: Route) -> tuple[bool, str]:
    """Unreachable ones first: they end loops before anything can cause one."""
    return route.kind == "unicast", str(route)
