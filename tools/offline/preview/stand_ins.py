"""Values for what only a cloud knows, for pretended resources. All of them are marked, or impossible.

Texts begin with `pretended-`; identifiers of accounts are all zeros; addresses are from networks for
benchmarks and documentation (RFC 2544, RFC 3849); host names end in `.invalid` (RFC 2606).
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tools.offline.preview.package import Kind, Output

MARK = "pretended"
ACCOUNT = "000000000000"
ADDRESSES4 = ipaddress.IPv4Network("198.18.0.0/15")
ADDRESSES6 = ipaddress.IPv6Network("2001:db8:8000::/33")


def identity(name: str) -> str:
    """The id of a pretended resource."""
    return f"{MARK}-{name}"


def value(token: str, name: str, prop: str, output: Output, region: str) -> Any:
    """For the output `prop` of the resource `name`, the same each time."""
    if output.kind != "text":
        return EMPTY[output.kind]
    if prop == "region":
        return region
    if prop.lower().endswith("arn"):
        return arn(token, name, prop, region)
    for endings, make in FORMS:
        if prop.lower().endswith(endings):
            return make(name, prop)
    return f"{MARK}-{name}-{prop}"


def arn(token: str, name: str, prop: str, region: str) -> str:
    """In the form of the ARNs that the resource's service has."""
    service = token.split(":")[1].partition("/")[0]
    kind = token.rsplit(":", 1)[-1] if prop == "arn" else prop
    return f"arn:aws:{service}:{region}:{ACCOUNT}:{kind}/{MARK}-{label(name)}"


def label(name: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")


def number(*parts: str) -> int:
    return int.from_bytes(hashlib.sha256("\0".join(parts).encode()).digest()[:8], "big")


def address4(name: str, prop: str) -> str:
    return str(ADDRESSES4[number(name, prop) % ADDRESSES4.num_addresses])


def address6(name: str, prop: str) -> str:
    return str(ADDRESSES6[number(name, prop) << 31])


def network(name: str, prop: str) -> str:
    """A /16, or the /56 that a cloud hands out."""
    if "6" in prop:
        return str(ipaddress.IPv6Network(f"{address6(name, prop)}/56", strict=False))
    return str(ipaddress.IPv4Network(f"{address4(name, prop)}/16", strict=False))


def host_name(name: str, prop: str) -> str:
    return f"{label(name)}.{prop.lower()}.{MARK}.invalid"


EMPTY: Mapping[Kind, Any] = {"number": 1, "truth": False, "list": [], "map": {}}
FORMS: Sequence[tuple[tuple[str, ...], Callable[[str, str], str]]] = (
    (("cidrblock",), network),
    (("ipv6address",), address6),
    (("ip", "ipaddress", "eniaddress"), address4),
    (("dnsname", "endpoint", "hostname", "privatedns", "publicdns"), host_name),
)
"""Endings of a property's name in lower case, and what such a text looks like."""
