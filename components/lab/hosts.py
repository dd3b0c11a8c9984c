"""Create, update, start, read and delete a host: namespace, files and container together."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from anycastle.model.codec import from_json, to_json
from components.lab import cgroup, container, disk, disks, ip, links, registry, wiring
from components.lab.layout import MANAGEMENT_DEVICE, Layout, Management
from components.lab.world import File, Host

_AUTHORIZED_KEYS = "/root/.ssh/authorized_keys"


class HostRecord(msgspec.Struct, frozen=True, kw_only=True):
    """What has to be known to start a host again.

    index: of the lab's management network. incarnation: of the disk that it boots from.
    authorized_key: OpenSSH public key that may log in as root.
    """

    host: Host
    index: int
    incarnation: str
    authorized_key: str

    @property
    def management(self) -> Management:
        return Management(self.index)


class Observed(msgspec.Struct, frozen=True, kw_only=True):
    """A host as it is. boot differs between two boots, "" while it does not run."""

    running: bool
    boot: str


class NoDisk(RuntimeError):
    """A host is to be started whose disk is gone."""


def create(layout: Layout, record: HostRecord) -> None:
    """Make the host and wait until its sshd answers. Its disk exists.

    What an interrupted run left of it goes. Raises BootError, IpError, NoDisk, and leaves
    its disk and console log then, but nothing outside of them.
    """
    container.kill(layout, record.host.name)
    _change_disk(layout, record, _all_files(record), set())
    _save(layout, record)
    try:
        start(layout, record)
    except BaseException:
        delete(layout, record.host.name)
        raise


def start(layout: Layout, record: HostRecord) -> None:
    """Boot the host from its own disk, on an empty network stack with its cables plugged in."""
    host = record.host
    container.kill(layout, host.name)
    registry.add_host(layout.lab, host.name)
    _plug(layout, record, host.sysctls)
    container.boot(layout, host.name, _image(layout, host.name))
    container.wait_ready(layout, host.name, record.management.address(host.number))


def update(layout: Layout, old: HostRecord, new: HostRecord) -> None:
    """Change files, units, sysctls and addresses in place; start the host if it is dead."""
    name = new.host.name
    if new.incarnation != old.incarnation:
        create(layout, new)
        return
    files = _all_files(new)
    stale = {file.path for file in _all_files(old)} - {file.path for file in files}
    changed = tuple(file for file in files if file not in _all_files(old))
    leader = cgroup.leader(cgroup.group(layout.lab, name))
    if leader is None:
        _change_disk(layout, new, changed, stale)
        _save(layout, new)
        start(layout, new)
        return
    _unplug_stale(layout, old, new)
    # What software of the host has set since it booted is not the plan's to change.
    changed_sysctls = dict(new.host.sysctls.items() - old.host.sysctls.items())
    _plug(layout, new, changed_sysctls)
    _change_running(leader, old.host, new.host, changed, stale)
    _save(layout, new)


def read(layout: Layout, host: str) -> Observed | None:
    """How the host is; None when nothing is known of it."""
    if not layout.record(host).exists():
        return None
    boot = container.boot_identity(layout, host)
    return Observed(running=bool(boot), boot=boot)


def delete(layout: Layout, host: str) -> None:
    """Remove the host but not its disk; without complaint about what is gone already."""
    container.kill(layout, host)
    ip.delete_namespace(layout.netns(host))
    layout.record(host).unlink(missing_ok=True)
    registry.remove_host(layout.lab, host)


def load(layout: Layout, host: str) -> HostRecord:
    """What was written down about a host. Raises FileNotFoundError, ModelError."""
    return from_json(layout.record(host).read_bytes(), HostRecord)


def _save(layout: Layout, record: HostRecord) -> None:
    path = layout.record(record.host.name)
    temporary = path.with_suffix(".new")
    temporary.write_bytes(to_json(record))
    temporary.replace(path)


def _image(layout: Layout, host: str) -> Path:
    record = disks.load(layout, host)
    if record is None:
        raise NoDisk(f"host {host} has no disk in {layout.host(host)}: `pulumi up --refresh`")
    return Path(record.image)


def _all_files(record: HostRecord) -> tuple[File, ...]:
    host = record.host
    settings = "".join(f"{key} = {value}\n" for key, value in host.sysctls.items())
    names = f"127.0.0.1 localhost\n::1 localhost\n127.0.1.1 {host.name}\n"
    return (
        File(path="/etc/hostname", text=f"{host.name}\n"),
        File(path="/etc/hosts", text=names),
        File(path="/etc/sysctl.d/90-lab.conf", text=settings),
        File(path=_AUTHORIZED_KEYS, text=f"{record.authorized_key.strip()}\n", mode=0o600),
        *host.files,
    )


def _change_disk(
    layout: Layout, record: HostRecord, changed: tuple[File, ...], stale: set[str]
) -> None:
    name = record.host.name
    upper, image = layout.upper(name), _image(layout, name)
    for path in stale:
        disk.remove(upper, path)
    for file in changed:
        disk.write(upper, image, file.path, file.text, file.mode)
    for unit in record.host.units:
        disk.enable(upper, image, unit)


def _change_running(
    leader: int, old: Host, new: Host, changed: tuple[File, ...], stale: set[str]
) -> None:
    for path in sorted(stale):
        disk.remove_running(leader, path)
    for file in changed:
        disk.write_running(leader, file.path, file.text, file.mode)
    if any(file.path.startswith("/etc/systemd/") for file in changed):
        disk.run_inside(leader, ["systemctl", "daemon-reload"])
    for unit in sorted(set(old.units) - set(new.units)):
        disk.run_inside(leader, ["systemctl", "disable", "--now", unit])
    for unit in sorted(set(new.units) - set(old.units)):
        disk.run_inside(leader, ["systemctl", "enable", "--now", unit])
    # A set, as two files may be taken up by one command; sorted, so runs are alike.
    for command in sorted({file.reload for file in changed if file.reload}):
        disk.run_inside(leader, list(command))


def _unplug_stale(layout: Layout, old: HostRecord, new: HostRecord) -> None:
    """Take away what the older record put into the namespace of a running host."""
    netns = layout.netns(new.host.name)
    ip.batch(netns, wiring.stale_loopback_lines(old.host, new.host))
    moved = (old.index, old.host.number) != (new.index, new.host.number)
    if moved and MANAGEMENT_DEVICE in ip.links(netns):
        ip.delete_link(netns, MANAGEMENT_DEVICE)


def _plug(layout: Layout, record: HostRecord, sysctls: Mapping[str, str]) -> None:
    """Bring the namespace to what plan and records say; a dead host's is made anew."""
    host, netns = record.host, layout.netns(record.host.name)
    cables = links.of_host(layout, host.name)
    if not ip.has_namespace(netns):
        ip.add_namespace(netns)
    elif not cgroup.populated(cgroup.group(layout.lab, host.name)):
        own = [port.device for link in cables for port in link.ends if port.host == host.name]
        ip.renew_namespace(netns, [MANAGEMENT_DEVICE, *own])
    ip.sysctl(netns, sysctls)
    devices = ip.links(netns)
    current = wiring.addresses_of(ip.show(netns, "address", "show", "dev", "lo"))
    ip.batch(netns, wiring.loopback_lines(host, current))
    for bridge in host.bridges:
        ip.batch(netns, wiring.bridge_lines(bridge, present=bridge.device in devices))
    _plug_management(record, netns, plugged=MANAGEMENT_DEVICE in devices)
    for link in cables:
        if all(ip.has_namespace(layout.netns(port.host)) for port in link.ends):
            links.create(layout, link)


def _plug_management(record: HostRecord, netns: str, *, plugged: bool) -> None:
    management, number = record.management, record.host.number
    outside = management.port(number)
    present = ip.links("")
    if plugged and outside not in present:
        # Its other end went with an older bridge.
        ip.delete_link(netns, MANAGEMENT_DEVICE)
        plugged = False
    if not plugged:
        ip.delete_link("", outside)
        peer = f"peer name {MANAGEMENT_DEVICE} netns {netns}"
        ip.batch("", [f"link add name {outside} type veth {peer}"])
    ip.batch(
        "",
        [
            f"link set dev {outside} master {management.bridge}",
            # Hosts talk with the machine over it, never with each other.
            f"link set dev {outside} type bridge_slave isolated on",
            f"link set dev {outside} up",
        ],
    )
    ip.batch(
        netns,
        [
            f"address replace {management.interface(number)} dev {MANAGEMENT_DEVICE}",
            f"link set dev {MANAGEMENT_DEVICE} up",
        ],
    )
