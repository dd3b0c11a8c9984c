"""The shape of a lab's plan: frozen structs that say all about hosts and links.

The plan knows nothing of the machine: no path, no index, no management subnet. The
edges (`hosts`, `links`) turn it into namespaces, containers and veth pairs, and keep
a copy on disk, so a dead host can be started again without asking the program.
"""

from __future__ import annotations

import enum
import hashlib

import msgspec

from anycastle.model.addresses import Address, Interface

DEVICE_NAME_MAX = 15
"""IFNAMSIZ less its terminating zero (include/uapi/linux/if.h)."""


class HostKind(enum.StrEnum):
    """What a host is for; the word that `anycastle lab hosts` shows."""

    NODE = "node"
    EDGE = "edge"
    CORE = "core"
    NAT = "nat"
    CONTROL = "control"
    SERVICE = "service"
    CLIENT = "client"


class File(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a host. reload: command that takes a change up on a running host."""

    path: str
    text: str
    mode: int = 0o644
    reload: tuple[str, ...] = ()


class Bridge(msgspec.Struct, frozen=True, kw_only=True):
    """A bridge inside a host's namespace, its addresses included."""

    device: str
    addresses: tuple[Interface, ...]


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A booted Debian machine.

    place: datacentre or site ("" for the internet's own).
    number: last octet of its management address, 2 to 254.
    sysctls: `net.*` of its namespace. loopbacks: addresses on `lo`.
    units: systemd units that start at boot.
    """

    name: str
    kind: HostKind
    place: str
    number: int
    sysctls: dict[str, str] = {}
    loopbacks: tuple[Interface, ...] = ()
    bridges: tuple[Bridge, ...] = ()
    files: tuple[File, ...] = ()
    units: tuple[str, ...] = ()


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """One end of a link.

    bridge: the bridge in the host that the device is a port of, "" for none.
    gateways: next hops of this host's default routes, one per family at most.
    """

    host: str
    device: str
    addresses: tuple[Interface, ...] = ()
    bridge: str = ""
    gateways: tuple[Address, ...] = ()


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """A cable between two hosts. mtu: bytes of an IP packet."""

    name: str
    ends: tuple[Port, Port]
    mtu: int = 1500


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Every host and every link of a lab, in the order in which they are made."""

    hosts: tuple[Host, ...]
    links: tuple[Link, ...]

    def host(self, name: str) -> Host:
        """Raises KeyError."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)

    def links_of(self, host: str) -> tuple[Link, ...]:
        return tuple(link for link in self.links if host in {end.host for end in link.ends})


def device_towards(host: str) -> str:
    """Name of a router's device: that of the host at the other end, cut to fit the kernel."""
    if len(host) <= DEVICE_NAME_MAX:
        return host
    digest = hashlib.sha256(host.encode()).hexdigest()[:4]
    return f"{host[: DEVICE_NAME_MAX - 5]}-{digest}"
