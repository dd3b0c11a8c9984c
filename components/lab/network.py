"""Create and delete a lab's management network: an index and one bridge."""

from __future__ import annotations

from components.lab import cgroup, ip, registry
from components.lab.layout import Layout, Management


def create(layout: Layout) -> int:
    """Take an index and make the bridge; gives the index. Raises RegistryError, IpError.

    The bridge and its ports are all that a lab adds to the machine's own namespace.
    """
    index = registry.allocate(layout)
    management = Management(index)
    lines = [] if present(index) else [f"link add name {management.bridge} type bridge"]
    ip.batch(
        "",
        [
            *lines,
            f"address replace {management.gateway} dev {management.bridge}",
            f"link set dev {management.bridge} up",
        ],
    )
    return index


def present(index: int) -> bool:
    return Management(index).bridge in ip.links("")


def delete(layout: Layout, index: int | None) -> None:
    """No host of the lab is left. Without complaint if it is gone."""
    if index is not None:
        ip.delete_link("", Management(index).bridge)
    group = cgroup.group(layout.lab)
    cgroup.remove(group)
    cgroup.remove_if_empty(group.parent)
    registry.forget(layout.lab)
