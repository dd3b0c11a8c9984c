"""Edge: a host's boot under systemd-nspawn, apart from the process that asked for it."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from contextlib import suppress
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

from components.lab import cgroup, disk, ip
from components.lab.layout import MANAGEMENT_DEVICE, Layout

BOOT_TIMEOUT = 90.0
"""Seconds until sshd has to answer; a boot takes less than one on an idle machine."""
LAST_LINES = 30
_SCRIPT = Path(__file__).with_name("boot-host.sh")
_NSPAWN_STATE = Path("/run/systemd/nspawn")


class BootError(RuntimeError):
    """A host did not come up. The message ends with the host's own last lines."""


def boot(layout: Layout, host: str, image: Path) -> None:
    """Start the container and return at once. Its namespace and disk are ready."""
    for directory in ("work", "root"):
        (layout.host(host) / directory).mkdir(exist_ok=True)
    console = layout.console(host)
    if console.exists():
        console.replace(console.with_suffix(".previous.log"))
    with console.open("wb") as output:
        # --fork: the container is nobody's child, so it outlives the Pulumi program.
        subprocess.run(
            ["setsid", "--fork", "sh", str(_SCRIPT)],
            env={
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "GROUP": str(cgroup.group(layout.lab, host)),
                "IMAGE": str(image),
                "DISK": str(layout.host(host)),
                "MACHINE": layout.netns(host),
            },
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            check=True,
        )


def wait_ready(layout: Layout, host: str, address: IPv4Address) -> None:
    """Wait until sshd answers. Raises BootError when the host dies or takes too long."""
    group = cgroup.group(layout.lab, host)
    begin = time.monotonic()
    while not _sshd_answers(address):
        waited = time.monotonic() - begin
        # The keeper enters its group some milliseconds after it was started.
        if waited > 1 and not cgroup.populated(group):
            raise BootError(f"host {host} died while it booted\n{last_lines(layout, host)}")
        if waited > BOOT_TIMEOUT:
            said = last_lines(layout, host)
            raise BootError(
                f"sshd of host {host} is silent on {address} for {waited:.0f} s\n{said}"
            )
        time.sleep(0.05)


def kill(layout: Layout, host: str) -> None:
    """End every process of the host at once. Its disk and namespace stay."""
    group = cgroup.group(layout.lab, host)
    cgroup.kill(group)
    cgroup.remove(group)
    shutil.rmtree(_NSPAWN_STATE / "propagate" / layout.netns(host), ignore_errors=True)


def silence(layout: Layout, host: str) -> None:
    """Let nothing leave or enter a host that is about to die.

    Its kernel is the machine's and lives on: it would say goodbye for every connection of
    a killed process (FIN, RST), as no host does whose power is cut. The next boot's
    namespace has no such rules.
    """
    hooks = "".join(
        f"add chain inet off {hook} {{ type filter hook {hook} priority -400; policy drop; }}\n"
        for hook in ("input", "output", "forward")
    )
    subprocess.run(
        ["ip", "netns", "exec", layout.netns(host), "nft", "-f", "-"],
        input=f"add table inet off\n{hooks}",
        text=True,
        capture_output=True,
        check=False,  # without it the host dies all the same
    )


def unplug(layout: Layout, host: str) -> None:
    """Take the carrier of a dead host's cables, whose namespace would go on forwarding.

    Its keeper does that, except when it was killed with the rest.
    """
    netns = layout.netns(host)
    cables = [name for name, link in ip.links(netns).items() if _is_cable(name, link)]
    ip.batch(netns, [f"link set dev {name} down" for name in cables])


def _is_cable(name: str, link: dict[str, Any]) -> bool:
    return name != MANAGEMENT_DEVICE and link.get("linkinfo", {}).get("info_kind") == "veth"


def boot_identity(layout: Layout, host: str) -> str:
    """Differs between two boots; "" while the host does not run."""
    leader = cgroup.leader(cgroup.group(layout.lab, host))
    if leader is None:
        return ""
    with suppress(OSError):
        return f"{leader}-{cgroup.started(leader)}"
    return ""


def last_lines(layout: Layout, host: str) -> str:
    """The end of the host's journal, else of what its boot printed."""
    journal = _journal(layout, host)
    if journal:
        return f"its journal ends with:\n{journal}"
    console = ""
    with suppress(OSError):
        console = layout.console(host).read_text(errors="replace")
    if not console:
        return "it has left neither a journal nor console output"
    lines = [line for line in console.splitlines() if line.strip()]
    return "\n".join([_hint(console), "its console ends with:", *lines[-LAST_LINES:]]).lstrip()


def _hint(console: str) -> str:
    """What an answer of the kernel means for somebody who did not write systemd."""
    if "inotify" in console and "Too many open files" in console:
        return (
            "the machine's fs.inotify.max_user_instances is used up (a host takes three): "
            "take another lab down, or raise it"
        )
    return ""


def _journal(layout: Layout, host: str) -> str:
    command = ["journalctl", "--no-pager", "--quiet", "--lines", str(LAST_LINES)]
    leader = cgroup.leader(cgroup.group(layout.lab, host))
    if leader is not None:
        with suppress(disk.DiskError):
            return disk.run_inside(leader, command)
    directory = layout.upper(host) / "var/log/journal"
    done = subprocess.run(
        [*command, f"--directory={directory}"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def _sshd_answers(address: IPv4Address) -> bool:
    try:
        with socket.create_connection((str(address), 22), timeout=0.5) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False
