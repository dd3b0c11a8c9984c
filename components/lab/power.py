"""Kill, start and list hosts of a standing lab: `python -m components.lab.power`.

list LAB         hosts, and whether they run
kill LAB HOST    end it at once, as when its power is cut; its disk stays
start LAB HOST   boot it again from its disk, and wait until sshd answers
cut LAB LINK     take a cable's carrier away      restore LAB LINK   put it back
"""

from __future__ import annotations

import argparse
import sys

from components.lab import container, hosts, ip, links, registry
from components.lab.layout import Layout


def kill(layout: Layout, host: str) -> None:
    """Raises FileNotFoundError when the lab has no such host."""
    hosts.load(layout, host)
    container.silence(layout, host)
    container.kill(layout, host)
    container.unplug(layout, host)


def start(layout: Layout, host: str) -> None:
    """Raises FileNotFoundError, BootError, NoDisk. A host that runs is left alone."""
    record = hosts.load(layout, host)
    if not container.boot_identity(layout, host):
        hosts.start(layout, record)


def set_carrier(layout: Layout, name: str, up: bool) -> None:
    """Pull a cable or put it back: the second end goes down, both lose the carrier."""
    link = links.load(layout, name)
    if link is None:
        raise FileNotFoundError(f"no link {name}")
    for port in link.ends[1:]:
        state = "up" if up else "down"
        ip.batch(layout.netns(port.host), [f"link set dev {port.device} {state}"])
        if up:
            links.configure_port(layout, port, link.mtu)


def running(layout: Layout) -> dict[str, bool]:
    """Every host of the lab, by name."""
    names = sorted(path.parent.name for path in layout.hosts.glob("*/host.json"))
    return {name: bool(container.boot_identity(layout, name)) for name in names}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m components.lab.power",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=("list", "kill", "start", "cut", "restore"))
    parser.add_argument("lab")
    parser.add_argument("name", nargs="?", default="", metavar="HOST|LINK")
    arguments = parser.parse_args()
    if arguments.action != "list" and not arguments.name:
        parser.error(f"{arguments.action} needs the name of a host or link")
    directory = registry.directory(arguments.lab)
    layout = Layout.of(arguments.lab)
    if directory is not None:
        layout = Layout(arguments.lab, directory)
    try:
        _act(layout, arguments.action, arguments.name)
    except FileNotFoundError:
        print(f"lab {arguments.lab} has no {arguments.name}", file=sys.stderr)
        return 1
    except (container.BootError, hosts.NoDisk, ip.IpError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _act(layout: Layout, action: str, name: str) -> None:
    if action == "list":
        for host, up in running(layout).items():
            print(f"{host:<20} {'running' if up else 'dead'}")
    elif action == "kill":
        kill(layout, name)
    elif action == "start":
        start(layout, name)
    else:
        set_carrier(layout, name, up=action == "restore")


if __name__ == "__main__":
    sys.exit(main())
