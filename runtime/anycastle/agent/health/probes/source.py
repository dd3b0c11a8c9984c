"""WireGuard's own packets leave from the anycast address.

A packet with the device's fwmark, to anywhere, is looked up as the kernel would route it.
Answers to clients leave from the right address anyway; what a node begins by itself would
be dropped by the client's NAT.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from anycastle.agent.health.probe import Probe, Severity, Surroundings
from anycastle.model.addresses import Address

ANYWHERE: dict[int, Address] = {
    4: IPv4Address("203.0.113.255"),
    6: IPv6Address("2001:db8:ffff:ffff::1"),
}
"""Destinations of documentation networks (RFC 5737, RFC 3849) that no node holds."""


def probe(around: Surroundings) -> Probe:
    return Probe("source", Severity.SOFT, around.blocking(lambda: complaint(around)), period=5.0)


def complaint(around: Surroundings) -> str:
    mark = around.spec.wireguard.fwmark
    wrong = []
    for version in sorted({address.version for address in around.spec.anycast.addresses}):
        wanted = [a for a in around.spec.anycast.addresses if a.version == version]
        source = around.network.source_of(mark, ANYWHERE[version])
        if source not in wanted:
            found = f"from {source}" if source else "nowhere: there is no route"
            wrong.append(f"IPv{version} packets of mark {mark} go {found}, not from {wanted[0]}")
    return "; ".join(wrong)
