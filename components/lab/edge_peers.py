"""Set and remove one node's sessions on its edge router, through the host's namespaces."""

from __future__ import annotations

from components.lab import cgroup, disk
from components.lab.layout import Layout
from components.lab.routers import edge_peer


class EdgeDown(RuntimeError):
    """The edge router does not run."""


def put(layout: Layout, edge: str, node: str, block: str) -> None:
    """Give the edge this block for this node; other sessions are not touched.

    Raises EdgeDown, and DiskError with the daemon's own words if it refuses the block.
    """
    leader = cgroup.leader(cgroup.group(layout.lab, edge))
    if leader is None:
        raise EdgeDown(f"edge router {edge} does not run: `pulumi up --refresh` starts it")
    disk.run_inside(leader, edge_peer.set_command(node), block)


def remove(layout: Layout, edge: str, node: str) -> None:
    """Without complaint if the edge is gone."""
    leader = cgroup.leader(cgroup.group(layout.lab, edge))
    if leader is not None:
        disk.run_inside(leader, edge_peer.remove_command(node))
