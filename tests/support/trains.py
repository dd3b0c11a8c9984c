"""Trains of datagrams: several of them in one packet of the kernel's, as GSO and GRO make."""

from __future__ import annotations

import socket
import struct
from collections.abc import Sequence

from anycastle.model.addresses import Address, Endpoint

_UDP_SEGMENT = 103
IPV6_FREEBIND = 78  # include/uapi/linux/in6.h


def send_train(segments: Sequence[bytes], source: Endpoint, to: Address, port: int) -> None:
    """One send that stays one packet up to the receiving device (udp(7), UDP_SEGMENT).

    All segments have the first one's size; the last one may be shorter. In the calling
    thread's namespace.
    """
    size = len(segments[0])
    assert all(len(one) == size for one in segments[:-1])
    assert len(segments[-1]) <= size
    family = socket.AF_INET if source.address.version == 4 else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as sender:
        if family is socket.AF_INET6:  # IPv4 needs a local route only
            sender.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
        sender.bind((str(source.address), source.port))
        told = [(socket.IPPROTO_UDP, _UDP_SEGMENT, struct.pack("=H", size))]
        sender.sendmsg([b"".join(segments)], told, 0, (str(to), port))
