"""What settings of datacentres of one's own must be: one value, and to each other."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator

from anycastle.model.codec import ModelError
from anycastle.model.deployment import Datacentre, Deployment, Kind
from anycastle.model.metal import MetalDatacentre, MetalEntry, MetalHost
from components.settings.names import duplicates
from components.settings.numbers import port

HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.:-]{0,251}[A-Za-z0-9])?")
USER = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
NIC = re.compile(r"[^\s/]{1,15}")
"""IFNAMSIZ (linux/if.h), and what `ip link` refuses."""
RESERVED_NICS = ("lo", "wg0", "fabric0")
HOST_KEYS = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


def check(deployment: Deployment, path: str) -> Iterator[ModelError]:
    """Faults of everything on metal."""
    if deployment.metal is not None and deployment.metal.control is not None:
        yield from _host(deployment.metal.control, f"{path}.metal.control")
    for i, datacentre in enumerate(deployment.datacentres):
        where = f"{path}.datacentres[{i}]"
        if datacentre.kind is not Kind.METAL:
            if datacentre.metal is not None:
                reason = f"a datacentre of kind {datacentre.kind} has none"
                yield ModelError(f"{where}.metal", reason)
        elif datacentre.metal is None:
            yield ModelError(f"{where}.metal", "missing; it says which hosts the nodes are")
        else:
            yield from _datacentre(datacentre, datacentre.metal, where)
    yield from duplicates(_addresses(deployment, path))


def needs_control(deployment: Deployment, path: str) -> Iterator[ModelError]:
    """A fault where nothing else has a host for the control plane."""
    if deployment.metal is None or deployment.metal.control is None:
        yield ModelError(
            f"{path}.metal.control", "missing; the control plane of this stack needs a host"
        )


def _addresses(deployment: Deployment, path: str) -> Iterator[tuple[object, str]]:
    """One host is one node."""
    if deployment.metal is not None and deployment.metal.control is not None:
        control = deployment.metal.control
        yield (control.address, control.port), f"{path}.metal.control"
    for i, datacentre in enumerate(deployment.datacentres):
        if datacentre.metal is not None:
            for name, host in datacentre.metal.hosts.items():
                where = f"{path}.datacentres[{i}].metal.hosts.{name}"
                yield (host.address, host.port), where


def _datacentre(datacentre: Datacentre, metal: MetalDatacentre, path: str) -> Iterator[ModelError]:
    if metal.entry is MetalEntry.IPVS or metal.front_ends:
        yield ModelError(
            f"{path}.metal.entry", "ipvs and its front ends are not available yet; use ecmp"
        )
    if not datacentre.edges:
        yield ModelError(f"{path}.edges", "the nodes need an edge router to announce to")
    nodes = {node.name for node in datacentre.nodes}
    for name in sorted(nodes - metal.hosts.keys()):
        yield ModelError(f"{path}.metal.hosts.{name}", f"missing; which host is node {name!r}?")
    for name, host in metal.hosts.items():
        where = f"{path}.metal.hosts.{name}"
        if name not in nodes:
            yield ModelError(where, "there is no node of this name in the datacentre")
            continue
        yield from _host(host, where)
        yield from _nics(host, datacentre, where)


def _host(host: MetalHost, path: str) -> Iterator[ModelError]:
    if not HOST.fullmatch(host.address):
        yield ModelError(f"{path}.address", f"{host.address!r} is no address and no host name")
    if not USER.fullmatch(host.user):
        yield ModelError(f"{path}.user", f"{host.user!r} is no name of a user")
    yield from port(host.port, f"{path}.port")
    if reason := _bad_key(host.host_key):
        yield ModelError(f"{path}.host_key", f"{reason}; see `ssh-keyscan -t ed25519 HOST`")


def _bad_key(text: str) -> str:
    """Why this is no public host key (RFC 4253, 6.6), "" when it is one."""
    kind, _, rest = text.partition(" ")
    if kind not in HOST_KEYS:
        return f"begins with none of {', '.join(HOST_KEYS)}"
    try:
        blob = base64.b64decode(rest.partition(" ")[0], validate=True)
    except binascii.Error:
        return "its second word is not base64"
    length = int.from_bytes(blob[:4], "big")
    return "" if blob[4 : 4 + length] == kind.encode() else f"its base64 is no {kind} key"


def _nics(host: MetalHost, datacentre: Datacentre, path: str) -> Iterator[ModelError]:
    if len(host.nics) != len(datacentre.edges):
        edges = ", ".join(edge.name for edge in datacentre.edges)
        yield ModelError(
            f"{path}.nics", f"one device for each edge router, in the order {edges or 'none'}"
        )
    for j, nic in enumerate(host.nics):
        if not NIC.fullmatch(nic) or nic in RESERVED_NICS:
            yield ModelError(f"{path}.nics[{j}]", f"{nic!r} can't be the name of an uplink")
    yield from duplicates((nic, f"{path}.nics[{j}]") for j, nic in enumerate(host.nics))
