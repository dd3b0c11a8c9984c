"""Somebody listens on the service port, for each family that has an anycast address.

Reads /proc/net/udp and udp6, which list the kernel WireGuard's sockets as well. Asking
by a packet would take a handshake: WireGuard answers nothing else.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from anycastle.agent.health.probe import Probe, Severity, Surroundings, immediate

TABLES = {4: Path("/proc/self/net/udp"), 6: Path("/proc/self/net/udp6")}


def probe(around: Surroundings) -> Probe:
    return Probe("port", Severity.HARD, immediate(lambda: complaint(around)))


def complaint(around: Surroundings) -> str:
    port = around.spec.anycast.port
    families = sorted({address.version for address in around.spec.anycast.addresses})
    missing = [f for f in families if port not in bound(TABLES[f].read_text().splitlines())]
    names = " and ".join(f"IPv{family}" for family in missing)
    return f"nobody listens on UDP port {port} of {names}" if missing else ""


def bound(lines: Iterable[str]) -> set[int]:
    """Local ports in the text of /proc/net/udp (proc(5)); the first line is a header."""
    ports = set()
    for line in list(lines)[1:]:
        fields = line.split()
        if len(fields) > 1:
            ports.add(int(fields[1].rpartition(":")[2], 16))
    return ports
