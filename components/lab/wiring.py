"""A host's or port's desired state in a namespace, as lines for `ip -batch`; pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from anycastle.model.addresses import Interface
from components.lab.world import Bridge, Host, Port

_LOOPBACK_OF_EVERY_HOST = {"127.0.0.1/8", "::1/128"}


def loopback_lines(host: Host, current: set[str]) -> Iterator[str]:
    """Bring the addresses of `lo` to what the plan says; current: those that it has."""
    wanted = {str(address) for address in host.loopbacks}
    yield from (f"address replace {address} dev lo" for address in sorted(wanted - current))


def stale_loopback_lines(old: Host, new: Host) -> Iterator[str]:
    """Remove what an older plan put on `lo` (software of the host may have put more there)."""
    stale = {str(a) for a in old.loopbacks} - {str(a) for a in new.loopbacks}
    yield from (f"address delete {address} dev lo" for address in sorted(stale))


def bridge_lines(bridge: Bridge, present: bool) -> Iterator[str]:
    if not present:
        yield f"link add {bridge.device} type bridge"
    yield f"link set dev {bridge.device} up"
    yield from _address_lines(bridge.device, bridge.addresses)


def port_lines(port: Port, mtu: int, current: set[str]) -> Iterator[str]:
    """Configure one end of a link; current: the addresses that its device has."""
    wanted = {str(address) for address in port.addresses}
    for stale in sorted(current - wanted):
        yield f"address delete {stale} dev {port.device}"
    yield f"link set dev {port.device} mtu {mtu}"
    if port.bridge:
        yield f"link set dev {port.device} master {port.bridge}"
    yield f"link set dev {port.device} up"
    yield from _address_lines(port.device, port.addresses)
    for gateway in port.gateways:
        default = "0.0.0.0/0" if gateway.version == 4 else "::/0"
        yield f"route replace {default} via {gateway} dev {port.device}"


def addresses_of(entries: Iterable[dict[str, Any]]) -> set[str]:
    """Global addresses in `ip -json address show`'s answer, as `address/length`.

    Link-local ones are the kernel's own business.
    """
    return {
        f"{info['local']}/{info['prefixlen']}"
        for entry in entries
        for info in entry.get("addr_info", ())
        if info.get("scope") != "link"
    } - _LOOPBACK_OF_EVERY_HOST


def _address_lines(device: str, addresses: tuple[Interface, ...]) -> Iterator[str]:
    for address in addresses:
        suffix = " nodad" if address.version == 6 else ""
        yield f"address replace {address} dev {device}{suffix}"
