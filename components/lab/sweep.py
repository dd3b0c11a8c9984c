"""Remove a lab in whatever state: `python -m components.lab.sweep LAB`.

For `make lab-down`, and for tests: what an interrupted or failed run left goes, too.
Nothing of it depends on Pulumi's state. Safe to run twice.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from components.lab import cgroup, disks, hosts, ip, network, registry
from components.lab.layout import Layout, Management


def sweep(layout: Layout) -> list[str]:
    """End processes, remove namespaces, disks, bridge and registry entry; gives what was there."""
    group = cgroup.group(layout.lab)
    removed = []
    if cgroup.populated(group):
        removed.append("processes")
    # All hosts at once, so that none sees another one go first.
    cgroup.kill(group)
    for host in _hosts(layout):
        removed.append(f"host {host}")
        hosts.delete(layout, host)
        disks.delete(layout, host)
    for netns in _namespaces(layout):
        removed.append(f"namespace {netns}")
        ip.delete_namespace(netns)
    shutil.rmtree(layout.links, ignore_errors=True)
    shutil.rmtree(layout.hosts, ignore_errors=True)
    index = registry.index(layout.lab)
    if index is not None:
        removed.append(f"bridge {Management(index).bridge}")
    network.delete(layout, index)
    return removed


def remains(layout: Layout) -> list[str]:
    """What a sweep left, in words; empty is what it has to be."""
    found = [f"namespace {netns}" for netns in _namespaces(layout)]
    group = cgroup.group(layout.lab)
    if group.exists():
        found.append(f"control group {group}")
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    found += [f"mount {line.split()[1]}" for line in mounts if str(layout.hosts) in line]
    if registry.index(layout.lab) is not None:
        found.append("registry entry")
    return found


def _hosts(layout: Layout) -> list[str]:
    """Hosts that have a namespace, a disk or processes."""
    names = set(registry.hosts(layout.lab))
    group = cgroup.group(layout.lab)
    for directory in (layout.hosts, group):
        if directory.is_dir():
            names |= {entry.name for entry in directory.iterdir() if entry.is_dir()}
    return sorted(names)


def _namespaces(layout: Layout) -> list[str]:
    """Namespaces of this lab's hosts; one named `a` is not confused with one named `a-b`."""
    if not ip.NETNS_DIRECTORY.is_dir():
        return []
    others = [f"ac-{lab}-" for lab in registry.labs() if lab.startswith(f"{layout.lab}-")]
    return sorted(
        entry.name
        for entry in ip.NETNS_DIRECTORY.iterdir()
        if entry.name.startswith(layout.netns("")) and not entry.name.startswith(tuple(others))
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m components.lab.sweep", description=__doc__)
    parser.add_argument("lab", help="name of the lab")
    parser.add_argument("--directory", type=Path, help="where it keeps its things (.lab/LAB)")
    arguments = parser.parse_args()
    known = arguments.directory or registry.directory(arguments.lab)
    layout = Layout.of(arguments.lab)
    if known is not None:
        layout = Layout(arguments.lab, known.resolve())
    removed = sweep(layout)
    print(f"lab {arguments.lab}: removed {', '.join(removed) or 'nothing'}")
    left = remains(layout)
    if left:
        print(f"lab {arguments.lab}: still there: {', '.join(left)}", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
