"""More clients for a lab than it has client hosts, each in a namespace of its own.

A guest is what a client host is to the outside: `wireguard-go` with its own key,
enrolled by `anycastle client add`, behind the site's NAT router, with its own address on
the site's access LAN. It has no booted system of its own, and its wireguard-go is not root's: the kernel gives
each user 128 inotify instances, a lab takes 59 of root's, and the suite must leave room for
a person's lab beside its own.

Made by hand beside what Pulumi made, and gone with `close`, or with the NAT router's
namespace and this process.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.waiting import wait_for

if TYPE_CHECKING:
    from tests.support.lab import Lab

FIRST = 200
"""Guests have the LAN addresses .200, ::200 and so on."""
LAN_DEVICE = "lan"
DEVICE = "wg0"
NOBODY = 65534
# A /run/wireguard of its own, so that device names need not be the machine's, and
# that user can make its socket there. exec all the way: the process is wireguard-go.
WIREGUARD = """
mkdir -p /run/wireguard
mount -t tmpfs -o mode=700,uid="$3" none /run/wireguard
exec nsenter --net=/run/netns/"$1" setpriv --reuid "$3" --clear-groups \\
  --inh-caps +net_admin --ambient-caps +net_admin wireguard-go -f "$2"
"""
MTU = 1380


@dataclass
class Guest:
    """name: in the control plane. process: wireguard-go, in namespaces of its own.

    configuration: the file that `wg setconf` takes.
    """

    name: str
    site: str
    netns: str
    port: str
    number: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    configuration: Path | None = None


@contextmanager
def crowd(lab: Lab, per_site: int) -> Iterator[dict[str, Guest]]:
    """That many guests at each site, connected while the block runs."""
    sites = sorted({host.place or "" for host in lab.of_kind("client")})
    mark = secrets.token_hex(2)
    guests = {
        f"{site}-guest{n}": Guest(
            f"{site}-guest{n}", site, f"ac-{lab.name}-{site}-g{n}", f"ag{mark}{s}x{n}", n
        )
        for s, site in enumerate(sites)
        for n in range(1, per_site + 1)
    }
    with tempfile.TemporaryDirectory() as directory:
        try:
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda guest: _join(lab, guest, Path(directory)), guests.values()))
            yield guests
        finally:
            for guest in guests.values():
                _leave(lab, guest)


def _join(lab: Lab, guest: Guest, directory: Path) -> None:
    plug(lab, guest)
    path = directory / f"{guest.name}.conf"
    done = lab.cli("client", "add", guest.name, "--output", str(path))
    assert done.returncode == 0, done.stderr.decode()
    _connect(guest, path)


def plug(lab: Lab, guest: Guest) -> None:
    """A cable to the site's access LAN: a port of the bridge in the NAT router."""
    router = lab.netns(f"{guest.site}-nat")
    here, there = "eth0", guest.port
    _ip(["netns", "add", guest.netns])
    _ip(["-n", guest.netns, "link", "add", here, "type", "veth", "peer", there, "netns", router])
    _ip(["-n", router, "link", "set", there, "master", LAN_DEVICE, "up"])
    site = next(s for s in lab.settings.sites if s.name == guest.site)
    v4, v6 = site.lan
    number = FIRST + guest.number
    # Twice the same digits, as the lab numbers all of its hosts.
    addresses = (
        f"{v4.network_address + number}/{v4.prefixlen}",
        f"{v6.network_address + int(str(number), 16)}/{v6.prefixlen}",
    )
    for address in addresses:
        options = ["nodad"] if ":" in address else []
        _ip(["-n", guest.netns, "address", "add", address, "dev", here, *options])
    _ip(["-n", guest.netns, "link", "set", "lo", "up"])
    _ip(["-n", guest.netns, "link", "set", here, "up"])
    for gateway in (v4.network_address + 1, v6.network_address + 1):
        _ip(["-n", guest.netns, "route", "add", "default", "via", str(gateway)])


def _connect(guest: Guest, path: Path) -> None:
    """What `wg-quick up` does with the file (wg-quick(8)), without its host-wide parts."""
    with path.with_suffix(".log").open("wb") as log:
        guest.process = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", WIREGUARD, "sh", guest.netns, DEVICE, str(NOBODY)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    address = f"/proc/{guest.process.pid}/root/run/wireguard/{DEVICE}.sock"
    # Not before it listens: `wg` takes a socket that refuses for a dead one, and deletes it.
    wait_for(f"wireguard-go of {guest.name}", lambda: _listens(address), 10, every=0.02)
    plain = path.with_suffix(".plain")
    plain.touch(0o600)
    plain.write_text(_output(["wg-quick", "strip", str(path)]))
    guest.configuration = plain
    reconnect(guest)
    for address in _values(path, "Address"):
        _ip(["-n", guest.netns, "address", "add", address, "dev", DEVICE])
    _ip(["-n", guest.netns, "link", "set", DEVICE, "mtu", str(MTU), "up"])
    for network in _values(path, "AllowedIPs"):
        _ip(["-n", guest.netns, "route", "replace", network, "dev", DEVICE])


def wg(guest: Guest, verb: str, *arguments: str) -> str:
    """stdout of `wg VERB DEVICE ARGUMENTS`."""
    assert guest.process is not None
    inside = ["nsenter", "--mount", "--net", "--target", str(guest.process.pid)]
    return _output([*inside, "wg", verb, DEVICE, *arguments])


def reconnect(guest: Guest) -> None:
    """Forget the session, if there is one: the peer is set anew."""
    wg(guest, "setconf", str(guest.configuration))


def _listens(address: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(address)
        return True


def unplug(guest: Guest) -> None:
    """Its end of the cable goes with the namespace, and the other end with that."""
    subprocess.run(["ip", "netns", "delete", guest.netns], capture_output=True, check=False)


def _leave(lab: Lab, guest: Guest) -> None:
    with contextlib.suppress(Exception):
        lab.cli("client", "remove", guest.name, "--yes")
    if guest.process is not None:
        guest.process.terminate()
        try:
            guest.process.wait(5)
        except subprocess.TimeoutExpired:
            guest.process.kill()
            guest.process.wait()
    unplug(guest)


def _values(path: Path, name: str) -> list[str]:
    line = next(x for x in path.read_text().splitlines() if x.startswith(f"{name} = "))
    return [value.strip() for value in line.partition(" = ")[2].split(",")]


def _ip(arguments: Sequence[str]) -> None:
    _output(["ip", *arguments])


def _output(command: Sequence[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
