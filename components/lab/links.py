"""Create, update, read and delete a link: a veth pair between two hosts' namespaces."""

from __future__ import annotations

from anycastle.model.addresses import Address
from anycastle.model.codec import from_json, to_json
from components.lab import ip, wiring
from components.lab.layout import Layout
from components.lab.world import Link, Port


def create(layout: Layout, link: Link) -> None:
    """Make the link or bring an existing one to this state. Both hosts exist."""
    _save(layout, link)
    if not present(layout, link):
        _remove_ends(layout, link)
        first, second = link.ends
        peer = f"peer name {second.device} netns {layout.netns(second.host)}"
        ip.batch(
            layout.netns(first.host),
            [f"link add name {first.device} type veth {peer}"],
        )
    for port in link.ends:
        configure_port(layout, port, link.mtu)


def update(layout: Layout, old: Link, new: Link) -> None:
    """Change addresses, MTU or gateways in place; other devices make another cable."""
    if [(p.host, p.device) for p in old.ends] != [(p.host, p.device) for p in new.ends]:
        _remove_ends(layout, old)
    elif present(layout, old):
        for before, after in zip(old.ends, new.ends, strict=True):
            _remove_gateways(layout, before, set(before.gateways) - set(after.gateways))
    create(layout, new)


def delete(layout: Layout, link: Link) -> None:
    """Unplug it; without complaint if it or its hosts are gone."""
    _remove_ends(layout, link)
    layout.link(link.name).unlink(missing_ok=True)


def present(layout: Layout, link: Link) -> bool:
    """Are both ends there?"""
    return all(_has_device(layout, port) for port in link.ends)


def up(layout: Layout, link: Link) -> bool:
    """Are both ends there, and neither pulled out?"""
    if not present(layout, link):
        return False
    devices = (ip.links(layout.netns(port.host))[port.device] for port in link.ends)
    return all("UP" in device["flags"] for device in devices)


def load(layout: Layout, name: str) -> Link | None:
    """What was written down about a link, None if nothing was."""
    try:
        return from_json(layout.link(name).read_bytes(), Link)
    except FileNotFoundError:
        return None


def of_host(layout: Layout, host: str) -> list[Link]:
    """Links that have an end in this host, as written down."""
    found = []
    for path in sorted(layout.links.glob("*.json")):
        link = from_json(path.read_bytes(), Link)
        if host in {port.host for port in link.ends}:
            found.append(link)
    return found


def configure_port(layout: Layout, port: Port, mtu: int) -> None:
    """Addresses, bridge and gateways of one end, whatever it had before."""
    netns = layout.netns(port.host)
    current = wiring.addresses_of(ip.show(netns, "address", "show", "dev", port.device))
    ip.batch(netns, wiring.port_lines(port, mtu, current))


def _remove_gateways(layout: Layout, port: Port, stale: set[Address]) -> None:
    netns = layout.netns(port.host)
    for gateway in stale:
        default = "0.0.0.0/0" if gateway.version == 4 else "::/0"
        if ip.show(netns, f"-{gateway.version}", "route", "show", default, "via", str(gateway)):
            ip.batch(netns, [f"route delete {default} via {gateway}"])


def _save(layout: Layout, link: Link) -> None:
    """At once, as a host that starts meanwhile reads all links."""
    layout.links.mkdir(parents=True, exist_ok=True)
    path = layout.link(link.name)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(to_json(link))
    temporary.replace(path)


def _has_device(layout: Layout, port: Port) -> bool:
    netns = layout.netns(port.host)
    return ip.has_namespace(netns) and port.device in ip.links(netns)


def _remove_ends(layout: Layout, link: Link) -> None:
    """Deleting one end deletes the other, too; a half one may be left of a dead host."""
    for port in link.ends:
        if _has_device(layout, port):
            ip.delete_link(layout.netns(port.host), port.device)
