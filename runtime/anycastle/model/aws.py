"""What a deployment is made of in AWS, as its stack files describe it. Shape only.

`Aws` is the deployment's: account, log-in, control plane, accelerator, audit. It stands
in the global stack's file. `AwsDatacentre` is one region's: network, zones, entry,
machines. What the values must be to each other is checked by `components.settings.aws`.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Network

import msgspec


class Entry(enum.StrEnum):
    """How clients' packets come to the nodes of a datacentre.

    ACCELERATOR: Global Accelerator, one pair of addresses for all regions, in front of
    the region's NLB. NLB: addresses of this region only. ROUTE_SERVER: the nodes hold
    the anycast addresses and announce them by BGP to a VPC Route Server.
    """

    ACCELERATOR = "accelerator"
    NLB = "nlb"
    ROUTE_SERVER = "route_server"


class Jump(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A host of yours through which bootstrap logs in. host_key: `ssh-ed25519 AAAA…`."""

    address: str
    user: str
    host_key: str
    port: int = 22


class Ssh(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may log in: networks of operators and of the machine that runs Pulumi.

    jump: with it hosts are reached at their private addresses, through that host.
    """

    ranges: tuple[IPv4Network, ...] = ()
    jump: Jump | None = None


class Accelerator(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Global Accelerator. byoip: the anycast addresses are your own, brought to AWS."""

    byoip: bool = False


class Database(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """RDS for PostgreSQL. storage: GiB. backup_days: of point-in-time recovery."""

    instance_class: str = "db.t4g.small"
    engine_version: str = "17"
    storage: int = 20
    backup_days: int = 14


class AwsControl(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The control plane's own network, hosts and database, in the home region.

    zones: one API host in each. image: AMI of the hosts.
    hosted_zone: Route 53 zone for `control_plane.names`, "" when you keep your DNS elsewhere.
    flow_log_days: of its network, 0 for no flow logs.
    """

    network: IPv4Network
    zones: tuple[str, ...]
    image: str
    instance_type: str = "t3.small"
    database: Database = Database()
    hosted_zone: str = ""
    flow_log_days: int = 30


class LockMode(enum.StrEnum):
    """S3 object lock. GOVERNANCE: a role with that right may lift it. COMPLIANCE: nobody."""

    GOVERNANCE = "GOVERNANCE"
    COMPLIANCE = "COMPLIANCE"


class Audit(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The bucket of the audit trail. retention_days: of the object lock."""

    retention_days: int = 365
    mode: LockMode = LockMode.GOVERNANCE


class Aws(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The deployment's side of AWS. account: 12 digits; nothing is done in another.

    region: home of control plane, keys and audit. tags: on everything beside our own.
    monitoring: networks that may read the agents' metrics.
    """

    account: str
    region: str
    ssh: Ssh
    control: AwsControl
    accelerator: Accelerator | None = None
    audit: Audit = Audit()
    tags: dict[str, str] = {}
    monitoring: tuple[IPv4Network, ...] = ()


class RouteServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A VPC Route Server. asn: Amazon's side. endpoints_per_zone: BGP neighbours of a node."""

    asn: int
    endpoints_per_zone: int = 2


class AwsDatacentre(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One region.

    images: AMIs under the letters `a` and `b`; image: the letter of nodes that name none.
    A node that changes to the other letter is made anew beside the old one.
    instance_types: under a letter, where it differs from instance_type.
    route_server: carries answers back to clients; needed for entry `route_server` and
    where the datacentre has services. cross_zone: may the NLB send packets to another zone?
    device: the nodes' network device. volume: GiB. flow_log_days: 0 for no flow logs.
    """

    region: str
    network: IPv4Network
    zones: tuple[str, ...]
    entry: Entry
    images: dict[str, str]
    image: str = "a"
    instance_type: str = "c6in.large"
    instance_types: dict[str, str] = {}
    route_server: RouteServer | None = None
    cross_zone: bool = False
    device: str = "ens5"
    volume: int = 16
    flow_log_days: int = 30
