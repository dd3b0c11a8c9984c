"""Which WireGuard a node uses: the kernel's where there is one, else wireguard-go."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable

from anycastle.agent.netlink.edge import NetworkError
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.wireguard.edge import WireGuardEdge, WireGuardError
from anycastle.agent.wireguard.kernel import LINK_KIND, KernelWireGuard
from anycastle.agent.wireguard.userspace import UserspaceWireGuard

UNIT = "anycastle-wireguard@{device}.service"

_SYSTEMCTL_TIMEOUT = 30.0


def choose_edge(
    device: str,
    start: Callable[[str], None] | None = None,
    stop: Callable[[str], None] | None = None,
) -> WireGuardEdge:
    """The edge for `device`. start, stop: of wireguard-go (default: its systemd unit).

    A device that exists decides by its kind, so that a restarted agent goes on with
    what serves clients. Raises WireGuardError.
    """
    network = KernelNetwork()
    try:
        link = network.link(device)
        in_kernel = kernel_supports(network) if link is None else link.kind == LINK_KIND
    except NetworkError as error:
        raise WireGuardError(str(error)) from error
    finally:
        network.close()
    if in_kernel:
        return KernelWireGuard(device)
    return UserspaceWireGuard(device, start or start_unit, stop or stop_unit)


def kernel_supports(network: KernelNetwork) -> bool:
    """Can the kernel make a WireGuard device here? Makes one for a moment."""
    probe = f"acprobe{os.getpid()}"[:15]
    try:
        network.make_link(probe, LINK_KIND)
    except NetworkError:
        return False
    network.delete_link(probe)
    return True


def start_unit(device: str) -> None:
    """Start wireguard-go's systemd unit. Raises WireGuardError."""
    _systemctl("start", device)


def stop_unit(device: str) -> None:
    """Stop wireguard-go's systemd unit. Raises WireGuardError."""
    _systemctl("stop", device)


def _systemctl(verb: str, device: str) -> None:
    unit = UNIT.format(device=device)
    try:
        subprocess.run(
            ["systemctl", verb, unit],
            check=True,
            capture_output=True,
            text=True,
            timeout=_SYSTEMCTL_TIMEOUT,
        )
    except FileNotFoundError:
        raise WireGuardError(f"{unit} can't be {verb}ed: this host has no systemctl") from None
    except subprocess.TimeoutExpired:
        raise WireGuardError(f"systemctl {verb} {unit} hangs") from None
    except subprocess.CalledProcessError as error:
        reason = (error.stderr or "").strip() or f"exit code {error.returncode}"
        raise WireGuardError(f"systemctl {verb} {unit} failed: {reason}") from None
