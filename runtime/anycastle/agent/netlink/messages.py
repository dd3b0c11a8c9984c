"""rtnetlink messages of the edge's structs, and back (rtnetlink(7)), pure.

pyroute2 knows the layouts. Devices are numbers on the wire: every function gets
the number, or a map from numbers to names.
"""

from __future__ import annotations

import ipaddress
import socket
import sys
from collections.abc import Mapping
from typing import Any

from pyroute2.netlink import nlmsg
from pyroute2.netlink.rtnl.fibmsg import fibmsg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.ndmsg import ndmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from anycastle.agent.netlink.edge import (
    PROTOCOL,
    DeviceAddress,
    Link,
    Neighbour,
    NextHop,
    Route,
    RouteKind,
    Rule,
    Tunnel,
    TunnelPeer,
    hops_in_order,
)
from anycastle.model.addresses import Address

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH = 28, 29, 30
RTM_NEWRULE, RTM_DELRULE, RTM_GETRULE = 32, 33, 34

_HEADER = 16  # bytes of struct nlmsghdr, which the socket writes itself
_UP = 0x1  # IFF_UP
_IFA_F_NODAD, _IFA_F_PERMANENT = 0x02, 0x80
_SCOPE_UNIVERSE, _SCOPE_NOWHERE = 0, 255
_TABLE_COMPAT = 252  # RT_TABLE_COMPAT: the number is in RTA_TABLE
_TO_TABLE = 1  # FR_ACT_TO_TBL
_TYPES = {RouteKind.UNICAST: 1, RouteKind.UNREACHABLE: 7}  # RTN_*
_KINDS = {number: kind for kind, number in _TYPES.items()}
_FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
_VERSION = {socket.AF_INET: 4, socket.AF_INET6: 6}
_PERMANENT = 0x80  # NUD_PERMANENT
_SELF = 0x02  # NTF_SELF: the device's own table, not its bridge's
_ANY_MASK = 0xFFFFFFFF

Fields = dict[str, Any]


def encode(kind: type[nlmsg], fields: Fields, attributes: list[tuple[str, Any]]) -> bytes:
    """The body of a message: everything after the netlink header."""
    message = kind()
    for name, value in fields.items():
        message[name] = value
    message["attrs"] = attributes
    message.encode()
    return bytes(message.data[_HEADER:])


def decode(kind: type[nlmsg], body: bytes) -> Any:
    """The message with this body. Raises pyroute2's NetlinkDecodeError."""
    header = (_HEADER + len(body)).to_bytes(4, sys.byteorder).ljust(_HEADER, b"\0")
    message = kind(header + body)
    message.decode()
    return message


# links ---------------------------------------------------------------------


def link_request(device: str) -> bytes:
    """Body of RTM_GETLINK and RTM_DELLINK."""
    return encode(ifinfmsg, {}, [("IFLA_IFNAME", device)])


def link_new(device: str, kind: str) -> bytes:
    """Body of RTM_NEWLINK that makes a device of the kind."""
    info = {"attrs": [("IFLA_INFO_KIND", kind)]}
    return encode(ifinfmsg, {}, [("IFLA_IFNAME", device), ("IFLA_LINKINFO", info)])


def tunnel_new(tunnel: Tunnel) -> bytes:
    """Body of RTM_NEWLINK that makes a VXLAN device."""
    data = [
        ("IFLA_VXLAN_ID", tunnel.vni),
        ("IFLA_VXLAN_LOCAL", str(tunnel.local)),
        ("IFLA_VXLAN_PORT", tunnel.port),
        ("IFLA_VXLAN_LEARNING", 0),
    ]
    info = {"attrs": [("IFLA_INFO_KIND", "vxlan"), ("IFLA_INFO_DATA", {"attrs": data})]}
    name, address = ("IFLA_IFNAME", tunnel.device), ("IFLA_ADDRESS", tunnel.mac)
    return encode(ifinfmsg, {}, [name, address, ("IFLA_LINKINFO", info)])


def tunnel_of(body: bytes) -> Tunnel | None:
    """None: not a VXLAN device, or one that we could not have made."""
    message = decode(ifinfmsg, body)
    info = message.get_attr("IFLA_LINKINFO")
    if info is None or info.get_attr("IFLA_INFO_KIND") != "vxlan":
        return None
    data = info.get_attr("IFLA_INFO_DATA")
    local = data.get_attr("IFLA_VXLAN_LOCAL")
    if local is None or data.get_attr("IFLA_VXLAN_LEARNING"):
        return None
    return Tunnel(
        message.get_attr("IFLA_IFNAME"),
        message.get_attr("IFLA_ADDRESS"),
        data.get_attr("IFLA_VXLAN_ID"),
        ipaddress.IPv4Address(local),
        data.get_attr("IFLA_VXLAN_PORT"),
    )


def link_set(index: int, mtu: int | None, up: bool | None) -> bytes:
    """Body of RTM_NEWLINK that changes a device."""
    fields: Fields = {"index": index}
    if up is not None:
        fields |= {"flags": _UP if up else 0, "change": _UP}
    return encode(ifinfmsg, fields, [("IFLA_MTU", mtu)] if mtu is not None else [])


def link_of(body: bytes) -> tuple[int, str, Link]:
    """(number, name, state)."""
    message = decode(ifinfmsg, body)
    info = message.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info is not None else None) or ""
    link = Link(message.get_attr("IFLA_MTU"), bool(message["flags"] & _UP), kind)
    return message["index"], message.get_attr("IFLA_IFNAME"), link


# addresses -----------------------------------------------------------------


def address_body(address: DeviceAddress, index: int) -> bytes:
    """Body of RTM_NEWADDR and RTM_DELADDR.

    IPv6 without duplicate address detection: the anycast address is on every node
    by intent, and the device's own must be of use at once.
    """
    interface = address.interface
    fields = {
        "family": _FAMILY[interface.version],
        "prefixlen": interface.network.prefixlen,
        "index": index,
        "scope": _SCOPE_UNIVERSE,
    }
    flags = _IFA_F_PERMANENT | (_IFA_F_NODAD if interface.version == 6 else 0)
    ip = str(interface.ip)
    attributes = [("IFA_LOCAL", ip), ("IFA_ADDRESS", ip)]
    return encode(ifaddrmsg, fields, [*attributes, ("IFA_FLAGS", flags), ("IFA_PROTO", PROTOCOL)])


def address_of(body: bytes, names: Mapping[int, str]) -> tuple[DeviceAddress, bool] | None:
    """(address, is it ours), or None for one that belongs to a link or an unknown device."""
    message = decode(ifaddrmsg, body)
    device = names.get(message["index"])
    if device is None or message["scope"] != _SCOPE_UNIVERSE:
        return None
    # IPv4 has the own address in LOCAL, IPv6 in ADDRESS (LOCAL: with a peer only).
    ip = message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")
    interface = ipaddress.ip_interface(f"{ip}/{message['prefixlen']}")
    return DeviceAddress(device, interface), message.get_attr("IFA_PROTO") == PROTOCOL


# routes --------------------------------------------------------------------


def route_body(route: Route, indices: Mapping[str, int]) -> bytes:
    """Body of RTM_NEWROUTE and RTM_DELROUTE. Raises KeyError: a device without a number."""
    fields = {
        "family": _FAMILY[route.destination.version],
        "dst_len": route.destination.prefixlen,
        "table": route.table if route.table < 256 else _TABLE_COMPAT,
        "proto": PROTOCOL,
        "scope": _SCOPE_UNIVERSE,
        "type": _TYPES[route.kind],
    }
    attributes: list[tuple[str, Any]] = [
        ("RTA_TABLE", route.table),
        ("RTA_PRIORITY", route.metric),
    ]
    if route.destination.prefixlen:
        attributes.append(("RTA_DST", str(route.destination.network_address)))
    if route.source is not None:
        attributes.append(("RTA_PREFSRC", str(route.source)))
    return encode(rtmsg, fields, attributes + _hop_attributes(route, indices))


def _hop_attributes(route: Route, indices: Mapping[str, int]) -> list[tuple[str, Any]]:
    hops = [(indices[hop.device], str(hop.gateway)) for hop in route.next_hops]
    if len(hops) == 1:
        return [("RTA_OIF", hops[0][0]), ("RTA_GATEWAY", hops[0][1])]
    if hops:
        paths = [
            {"oif": index, "hops": 0, "flags": 0, "attrs": [("RTA_GATEWAY", gateway)]}
            for index, gateway in hops
        ]
        return [("RTA_MULTIPATH", paths)]
    return []


def routes_request(version: int) -> bytes:
    """Body of an RTM_GETROUTE dump that the kernel filters by PROTOCOL (strict checking on)."""
    return encode(rtmsg, {"family": _FAMILY[version], "proto": PROTOCOL}, [])


def route_of(body: bytes, names: Mapping[int, str]) -> Route | None:
    """None: not ours, or of a kind that we never make."""
    message = decode(rtmsg, body)
    kind = _KINDS.get(message["type"])
    if message["proto"] != PROTOCOL or kind is None:
        return None
    default = "0.0.0.0" if message["family"] == socket.AF_INET else "::"
    destination = f"{message.get_attr('RTA_DST') or default}/{message['dst_len']}"
    source = message.get_attr("RTA_PREFSRC")
    return Route(
        message.get_attr("RTA_TABLE") or message["table"],
        ipaddress.ip_network(destination),
        message.get_attr("RTA_PRIORITY") or 0,
        kind,
        ipaddress.ip_address(source) if source else None,
        _hops(message, names) if kind is RouteKind.UNICAST else (),
    )


def _hops(message: Any, names: Mapping[int, str]) -> tuple[NextHop, ...]:
    paths = [(path["oif"], path) for path in message.get_attr("RTA_MULTIPATH") or ()]
    paths = paths or [(message.get_attr("RTA_OIF"), message)]
    return hops_in_order(
        NextHop(names.get(index, f"#{index}"), ipaddress.ip_address(path.get_attr("RTA_GATEWAY")))
        for index, path in paths
        if path.get_attr("RTA_GATEWAY")
    )


def lookup_request(mark: int, destination: Address) -> bytes:
    """Body of RTM_GETROUTE: which route would a packet with this mark take?"""
    fields = {"family": _FAMILY[destination.version], "dst_len": destination.max_prefixlen}
    return encode(rtmsg, fields, [("RTA_DST", str(destination)), ("RTA_MARK", mark)])


def lookup_source(body: bytes) -> Address | None:
    """The source address in the answer to `lookup_request`."""
    source = decode(rtmsg, body).get_attr("RTA_PREFSRC")
    return ipaddress.ip_address(source) if source else None


# neighbours ----------------------------------------------------------------


def neighbours_request(family: int) -> bytes:
    """Body of an RTM_GETNEIGH dump; AF_BRIDGE asks for the tunnels' ends."""
    return encode(ndmsg, {"family": family}, [])


def neighbour_body(neighbour: Neighbour, index: int) -> bytes:
    """Body of RTM_NEWNEIGH and RTM_DELNEIGH."""
    family = _FAMILY[neighbour.address.version]
    fields = {"family": family, "ifindex": index, "state": _PERMANENT}
    address = ("NDA_DST", str(neighbour.address))
    return encode(ndmsg, fields, [address, ("NDA_LLADDR", neighbour.mac)])


def neighbour_of(body: bytes, names: Mapping[int, str]) -> Neighbour | None:
    """None: not a permanent one, or of an unknown device."""
    message = decode(ndmsg, body)
    device, mac = names.get(message["ifindex"]), message.get_attr("NDA_LLADDR")
    if device is None or mac is None or not message["state"] & _PERMANENT:
        return None
    return Neighbour(device, ipaddress.ip_address(message.get_attr("NDA_DST")), mac)


def tunnel_peer_body(peer: TunnelPeer, index: int) -> bytes:
    """Body of RTM_NEWNEIGH and RTM_DELNEIGH."""
    fields = {
        "family": socket.AF_BRIDGE,
        "ifindex": index,
        "state": _PERMANENT,
        "flags": _SELF,
    }
    remote = ("NDA_DST", str(peer.remote))
    return encode(ndmsg, fields, [("NDA_LLADDR", peer.mac), remote])


def tunnel_peer_of(body: bytes, names: Mapping[int, str]) -> TunnelPeer | None:
    """None: no tunnel's (a bridge port has entries of the same kind, without a remote)."""
    message = decode(ndmsg, body)
    device, remote = names.get(message["ifindex"]), message.get_attr("NDA_DST")
    if device is None or remote is None:
        return None
    return TunnelPeer(device, message.get_attr("NDA_LLADDR"), ipaddress.IPv4Address(remote))


# rules ---------------------------------------------------------------------


def rule_body(rule: Rule) -> bytes:
    """Body of RTM_NEWRULE and RTM_DELRULE."""
    fields = {
        "family": _FAMILY[rule.version],
        "table": rule.table if rule.table < 256 else _TABLE_COMPAT,
        "action": _TO_TABLE,
    }
    attributes = [
        ("FRA_PRIORITY", rule.priority),
        ("FRA_FWMARK", rule.mark),
        ("FRA_FWMASK", _ANY_MASK),
        ("FRA_TABLE", rule.table),
        ("FRA_PROTOCOL", PROTOCOL),
    ]
    return encode(fibmsg, fields, attributes)


def rules_request(version: int) -> bytes:
    """Body of an RTM_GETRULE dump."""
    return encode(fibmsg, {"family": _FAMILY[version]}, [])


def rule_of(body: bytes) -> Rule | None:
    """None: not ours, or not of the shape that we make."""
    message = decode(fibmsg, body)
    if message.get_attr("FRA_PROTOCOL") != PROTOCOL or message["action"] != _TO_TABLE:
        return None
    return Rule(
        4 if message["family"] == socket.AF_INET else 6,
        message.get_attr("FRA_PRIORITY") or 0,
        message.get_attr("FRA_FWMARK") or 0,
        message.get_attr("FRA_TABLE") or message["table"],
    )
