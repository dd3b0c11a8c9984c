"""Edge: the `ip` command. Every function names its namespace; "" is the machine's own.

A batch is one process however many lines it has, and what it does can be typed by
hand, which is why this is not netlink.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

NETNS_DIRECTORY = Path("/run/netns")


class IpError(RuntimeError):
    """`ip` refused something. The message has the namespace, the command and its answer."""


def batch(netns: str, lines: Iterable[str]) -> None:
    """Run lines as `ip -batch` does. Raises IpError at the first that fails."""
    text = "\n".join(lines)
    if text:
        _run([*_prefix(netns), "-batch", "-"], text)


def show(netns: str, *words: str) -> list[dict[str, Any]]:
    """`ip -json …` parsed, e.g. `show("ac-lab-core1", "address", "show", "dev", "lo")`."""
    output = _run([*_prefix(netns), "-json", *words])
    found = json.loads(output or "[]")
    # `ip` prints {} for what its filter left out.
    return [entry for entry in found if entry]


def links(netns: str) -> dict[str, dict[str, Any]]:
    """Devices of a namespace by name, as `ip -details -json link` shows them."""
    return {entry["ifname"]: entry for entry in show(netns, "-details", "link", "show")}


def delete_link(netns: str, device: str) -> None:
    """Without complaint if it is gone: a namespace's devices vanish some time after it."""
    try:
        batch(netns, [f"link delete dev {device}"])
    except IpError as error:
        if "Cannot find device" not in str(error):
            raise


def sysctl(netns: str, settings: Mapping[str, str]) -> None:
    """Write `net.*` settings of a namespace, never of the machine's own."""
    if not netns:
        raise ValueError("the machine's own settings are not a lab's to change")
    if settings:
        words = [f"{key}={value}" for key, value in settings.items()]
        _run(["ip", "netns", "exec", netns, "sysctl", "-q", "-w", *words])


def has_namespace(netns: str) -> bool:
    return (NETNS_DIRECTORY / netns).exists()


def add_namespace(netns: str) -> None:
    """Make an empty namespace whose `lo` is up."""
    _run(["ip", "netns", "add", netns])
    batch(netns, ["link set lo up"])


def delete_namespace(netns: str) -> None:
    """Remove a namespace and every device in it; without complaint if there is none."""
    if has_namespace(netns):
        _run(["ip", "netns", "delete", netns])


def renew_namespace(netns: str, keep: Iterable[str]) -> None:
    """Replace a namespace by an empty one of the same name, into which `keep` moves.

    What a reboot does to a network stack: no address, route, rule, table or device of
    the dead host's software is left, but its cables stay plugged in (the other ends see
    the link go down and up).
    """
    fresh = f"{netns}+"
    delete_namespace(fresh)
    add_namespace(fresh)
    present = links(netns)
    batch(netns, [f"link set dev {name} netns {fresh}" for name in keep if name in present])
    delete_namespace(netns)
    target = NETNS_DIRECTORY / netns
    target.touch(mode=0o444)
    _run(["mount", "--bind", str(NETNS_DIRECTORY / fresh), str(target)])
    _run(["umount", str(NETNS_DIRECTORY / fresh)])
    (NETNS_DIRECTORY / fresh).unlink()


def _prefix(netns: str) -> list[str]:
    return ["ip", "-netns", netns] if netns else ["ip"]


def _run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        asked = f" with\n{text}" if text else ""
        raise IpError(f"`{' '.join(command)}`{asked}\nfailed: {done.stderr.strip()}")
    return done.stdout
