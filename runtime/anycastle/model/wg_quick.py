"""The file that a stock WireGuard client imports (wg-quick(8), wg(8))."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from anycastle.model.addresses import Address, Endpoint
from anycastle.model.api import ClientCreated
from anycastle.model.codec import Key

Family = Literal["ipv4", "ipv6"]


def render(
    created: ClientCreated,
    private_key: Key | None,
    preshared_key: Key | None,
    family: Family = "ipv4",
) -> str:
    """The text of the file.

    private_key: None when the key was made elsewhere; a comment marks its place.
    family: of the anycast address that the client connects to; the other one is
    used where the deployment has none of it.
    """
    client, connection = created.client, created.connection
    lines = [
        f"# {client.name}",
        "[Interface]",
        _private_line(client.public_key, private_key),
        f"Address = {', '.join(_host(address) for address in client.addresses)}",
        f"MTU = {connection.mtu}",
        "",
        "[Peer]",
        f"PublicKey = {connection.service_public_key.text}",
    ]
    if preshared_key is not None:
        lines.append(f"PresharedKey = {preshared_key.text}")
    lines += [
        f"Endpoint = {choose_endpoint(connection.endpoints, family)}",
        f"AllowedIPs = {', '.join(connection.allowed_ips)}",
        f"PersistentKeepalive = {connection.keepalive}",
    ]
    return "\n".join(lines) + "\n"


def choose_endpoint(endpoints: Sequence[str], family: Family) -> str:
    """The first of that family, else the first of all. Raises ValueError when empty."""
    if not endpoints:
        raise ValueError("the deployment has no endpoint")
    version = 6 if family == "ipv6" else 4
    fitting = (e for e in endpoints if Endpoint.parse(e).address.version == version)
    return next(fitting, endpoints[0])


def _private_line(public: Key, private: Key | None) -> str:
    if private is None:
        return f"# PrivateKey = put the private key of {public.text} here"
    return f"PrivateKey = {private.text}"


def _host(address: Address) -> str:
    return f"{address}/{address.max_prefixlen}"
