"""A part of the lab's world, booted through the edges, without Pulumi."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from components.lab import cgroup, disk, disks, edge_peers, hosts, links, network
from components.lab.layout import Layout
from components.lab.routers import edge_peer
from components.lab.routing import node_neighbour
from components.lab.settings import LabSettings
from components.lab.topology import plan
from components.lab.world import World
from tests.samples.lab_deployment import DEPLOYMENT


class BootedLab:
    """Some hosts of the plan of `stacks/Pulumi.lab.yaml`, and the links between them."""

    def __init__(self, layout: Layout, image: Path) -> None:
        self.layout = layout
        self.image = image
        self.plan: World = plan(DEPLOYMENT, LabSettings())
        self.public_key, self.private_key = key_pair()
        self.index = network.create(layout)
        self._booted: set[str] = set()

    def boot(self, *names: str) -> None:
        """Boot hosts of the plan, and make the links that have both ends now."""
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(self._boot_one, names))
        self._booted |= set(names)
        for link in self.plan.links:
            ends = {port.host for port in link.ends}
            if ends <= self._booted and ends & set(names):
                links.create(self.layout, link)

    def record(self, name: str) -> hosts.HostRecord:
        """A host of the plan as this lab's, its disk made if it has none."""
        disk_record = disks.load(self.layout, name) or disks.create(
            self.layout, name, self.image, key_pair()[1]
        )
        return hosts.HostRecord(
            host=self.plan.host(name),
            index=self.index,
            incarnation=disk_record.incarnation,
            authorized_key=self.public_key,
        )

    def _boot_one(self, name: str) -> None:
        hosts.create(self.layout, self.record(name))

    def run(self, host: str, command: str, text: str = "") -> str:
        """A shell command on a host. Raises DiskError when it fails."""
        leader = cgroup.leader(cgroup.group(self.layout.lab, host))
        assert leader is not None, f"{host} does not run"
        return disk.run_inside(leader, ["sh", "-c", command], text)

    def expect_node(self, node: str) -> None:
        """Give the node's edge router its sessions with it."""
        for datacentre in DEPLOYMENT.datacentres:
            for member in datacentre.nodes:
                if member.name == node:
                    edge = datacentre.edges[0]
                    neighbour = node_neighbour(DEPLOYMENT, edge, member)
                    block = edge_peer.block(datacentre.routing, edge.asn, neighbour)
                    edge_peers.put(self.layout, edge.name, node, block)


def key_pair() -> tuple[str, str]:
    """(public, private) ed25519 key in OpenSSH's text format."""
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    return public.decode(), private.decode()
