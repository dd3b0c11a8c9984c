"""A deployment as its stack file describes it.

These structs hold the shape only; what the values must be to each other (an
address in its pool, no duplicate name, no overlap) is checked by
`components.settings`, so that every error carries the path of the field.
"""

from __future__ import annotations

import enum

import msgspec

from anycastle.model.addresses import Address, Dual, Network
from anycastle.model.aws import Aws, AwsDatacentre
from anycastle.model.metal import Metal, MetalDatacentre


class Kind(enum.StrEnum):
    """Where a datacentre's hosts come from."""

    LAB = "lab"
    METAL = "metal"
    AWS = "aws"


class Routing(enum.StrEnum):
    """The BGP daemon that a node runs."""

    BIRD = "bird"
    FRR = "frr"


class Anycast(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What clients connect to: addresses inside announced prefixes, one UDP port."""

    addresses: tuple[Address, ...]
    prefixes: tuple[Network, ...]
    port: int = 51820


class Bfd(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Liveness of a BGP peering (RFC 5880). interval: milliseconds between packets."""

    interval: int = 50
    multiplier: int = 3


class Edge(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An upstream router of a datacentre.

    links: networks from which the point-to-point links to the nodes are numbered,
    by node id (`model.addresses.link_ends`).
    routing, loopbacks: of a router that the lab makes; absent where it is not ours.
    """

    name: str
    asn: int
    links: Dual
    routing: Routing | None = None
    loopbacks: tuple[Address, ...] = ()
    bfd: Bfd = Bfd()


class Node(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A host that terminates WireGuard.

    id: unique in the deployment, from 1; it numbers loopbacks and links, so a
    node keeps its addresses when others come and go.
    routing: overrides the datacentre's daemon.
    zone, image: of a node in AWS: availability zone, and letter of its image ("" for
    the datacentre's).
    """

    name: str
    id: int
    routing: Routing | None = None
    zone: str = ""
    image: str = ""


class Datacentre(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A place with nodes behind the same edge routers.

    services: inside networks that clients may reach there.
    edges: none in AWS, where the Route Server's endpoints take their place.
    aws, metal: of a datacentre of that kind, and of no other.
    """

    name: str
    kind: Kind
    routing: Routing = Routing.BIRD
    edges: tuple[Edge, ...] = ()
    nodes: tuple[Node, ...]
    services: tuple[Network, ...] = ()
    aws: AwsDatacentre | None = None
    metal: MetalDatacentre | None = None


class Fabric(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How packets travel between nodes. mtu: bytes of an IP packet on the links."""

    mtu: int = 1500


class Clock(enum.StrEnum):
    """What a node's clock has to prove before the node takes clients over.

    SYNCHRONISED: the kernel says that NTP keeps it right. TRUSTED: nothing; for hosts
    that share a clock which somebody else keeps right, as containers of one machine do.
    """

    SYNCHRONISED = "synchronised"
    TRUSTED = "trusted"


class Health(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Rules of announcing. Times in seconds.

    rise, fall: consecutive good or bad probe rounds before a node's state changes.
    hold_down: wait before announcing again, doubled at each flap up to hold_down_max.
    clock: see `Clock`.
    """

    interval: float = 1.0
    rise: int = 3
    fall: int = 2
    hold_down: float = 10.0
    hold_down_max: float = 300.0
    clock: Clock = Clock.SYNCHRONISED


class PathChoice(enum.StrEnum):
    """Which packet path nodes use. AUTO: BPF where the kernel takes it, else nftables."""

    AUTO = "auto"
    BPF = "bpf"
    NFTABLES = "nftables"


class Takeover(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Does a node make itself the owner of clients that reach it without a session?

    enabled: without, such a client waits for its own timer, and nothing is relayed.
    path: see `PathChoice`. clients: how many a node's packet path has room for; some
    700 bytes of kernel memory each, taken at once.
    """

    enabled: bool = True
    path: PathChoice = PathChoice.AUTO
    clients: int = 65_536


class ControlPlane(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where agents find the API: addresses and DNS names that every node reaches.

    One of the two is enough. A lab has addresses; in AWS a load balancer has a name.
    """

    addresses: tuple[Address, ...] = ()
    names: tuple[str, ...] = ()
    port: int = 8443


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that one anycast service consists of. aws, metal: None where none of it is
    there."""

    name: str
    asn: int
    anycast: Anycast
    pools: Dual
    loopbacks: Dual
    datacentres: tuple[Datacentre, ...]
    control_plane: ControlPlane
    fabric: Fabric = Fabric()
    health: Health = Health()
    takeover: Takeover = Takeover()
    client_mtu: int = 1380
    client_keepalive: int = 25
    aws: Aws | None = None
    metal: Metal | None = None
