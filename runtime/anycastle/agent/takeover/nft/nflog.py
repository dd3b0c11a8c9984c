"""What the packet path's log rules say: nfnetlink_log messages, and back to events. Pure.

A log rule's prefix is the kind of the event, its payload begins with the IP header
(include/uapi/linux/netfilter/nfnetlink_log.h). The kernel numbers the messages of a
group, so the ones that found the socket full can be counted.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from anycastle.agent.netlink.attributes import attribute, walk
from anycastle.agent.takeover.path import EventKind
from anycastle.model.addresses import Endpoint

CONFIG, PACKET = 4 << 8 | 1, 4 << 8 | 0  # NFNL_SUBSYS_ULOG; NFULNL_MSG_*
_COMMAND, _MODE, _QUEUE_THRESHOLD, _FLAGS = 1, 2, 5, 6  # NFULA_CFG_*
_BIND, _COPY_PACKET, _NUMBERED = 1, 2, 1  # NFULNL_CFG_CMD_BIND, NFULNL_COPY_PACKET, …_F_SEQ
_PAYLOAD, _PREFIX, _SEQUENCE = 9, 10, 12  # NFULA_*
_GENERIC = struct.Struct("!BBH")
_PORT = struct.Struct("!H")
_UDP = 17


class NoEvent(ValueError):
    """A message of the group that none of our rules can have sent."""


@dataclass(frozen=True, slots=True)
class Notice:
    """number: of the message in its group, from 0, 32 bits."""

    kind: EventKind
    endpoint: Endpoint
    number: int


def bind_bodies(group: int, snap: int) -> list[bytes]:
    """Bodies of the CONFIG messages that subscribe to a group, first things first.

    snap: bytes of a packet that are wanted. Each message is sent by itself, at once.
    """
    header = _GENERIC.pack(0, 0, group)
    return [
        header + attribute(_COMMAND, struct.pack("=B", _BIND)),
        header
        + attribute(_MODE, struct.pack("!IBx", snap, _COPY_PACKET))
        + attribute(_QUEUE_THRESHOLD, struct.pack("!I", 1))
        + attribute(_FLAGS, struct.pack("!H", _NUMBERED)),
    ]


def notice(body: bytes) -> Notice:
    """The event in the body of a PACKET message. Raises NoEvent."""
    try:
        found = {kind: body[first:last] for kind, first, last in walk(body, _GENERIC.size)}
        kind = EventKind(found[_PREFIX].rstrip(b"\0").decode())
        (number,) = struct.unpack("!I", found[_SEQUENCE])
        return Notice(kind, source(found[_PAYLOAD]), number)
    except (KeyError, ValueError, struct.error) as error:
        raise NoEvent(f"a message of the log group is no event of ours: {error!r}") from error


def source(packet: bytes) -> Endpoint:
    """Where a UDP packet without extension headers comes from. Raises ValueError."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        start, protocol = (packet[0] & 15) * 4, packet[9]
        address: IPv4Address | IPv6Address = IPv4Address(packet[12:16])
    elif version == 6 and len(packet) >= 40:
        start, protocol, address = 40, packet[6], IPv6Address(packet[8:24])
    else:
        raise ValueError(f"{len(packet)} bytes of IP version {version} have no source")
    if protocol != _UDP or len(packet) < start + 2:
        raise ValueError(f"no UDP source port in {len(packet)} bytes of protocol {protocol}")
    return Endpoint(address, _PORT.unpack_from(packet, start)[0])


def missed(previous: int | None, number: int) -> int:
    """Messages between two that were read."""
    return 0 if previous is None else (number - previous - 1) & 0xFFFFFFFF
