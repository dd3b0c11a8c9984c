"""Datacentres of one's own, as stack files describe them: hosts that exist. Shape only.

What the values must be to each other is checked by `components.settings.metal`.
"""

from __future__ import annotations

import enum

import msgspec


class MetalEntry(enum.StrEnum):
    """How clients' packets come to the nodes.

    ECMP: edge routers spread flows over the nodes themselves. IPVS: front ends do
    (not available yet).
    """

    ECMP = "ecmp"
    IPVS = "ipvs"


class MetalHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A host that exists and runs sshd.

    address: where sshd listens, an address or a name. host_key: `ssh-ed25519 AAAA…`, what
    sshd must prove. user: root, or one whom sudo asks for no password.
    nics: of a node, its devices towards the datacentre's edge routers, in their order.
    """

    address: str
    host_key: str
    user: str = "root"
    port: int = 22
    nics: tuple[str, ...] = ()


class FrontEnd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A host in front of the nodes (entry `ipvs`)."""

    name: str
    host: MetalHost


class Metal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The deployment's side. control: the host of the control plane, where that is not
    in a cloud or in a lab."""

    control: MetalHost | None = None


class MetalDatacentre(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One place. hosts: of the nodes, by name."""

    hosts: dict[str, MetalHost]
    entry: MetalEntry = MetalEntry.ECMP
    front_ends: tuple[FrontEnd, ...] = ()
