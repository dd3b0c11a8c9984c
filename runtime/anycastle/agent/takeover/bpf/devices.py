"""What the packet path asks of network devices, by ioctl, in the calling thread's namespace."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from dataclasses import dataclass

from anycastle.agent.takeover.bpf.layout import Port
from anycastle.agent.takeover.path import PathError

_SIOCGIFFLAGS = 0x8913
_SIOCGIFHWADDR = 0x8927
_SIOCGIFINDEX = 0x8933
_IFREQ = struct.Struct("=16s24s")
_ARPHRD_ETHER = 1
_IFF_RUNNING = 0x40


@dataclass(frozen=True)
class Device:
    """running: up, with a carrier."""

    name: str
    port: Port
    running: bool


def find(name: str) -> Device | None:
    """None: there is no such device. Raises PathError when it is no Ethernet device."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            (index,) = struct.unpack_from("=i", _ask(asker, _SIOCGIFINDEX, name))
            (flags,) = struct.unpack_from("=H", _ask(asker, _SIOCGIFFLAGS, name))
            kind, mac = struct.unpack_from("=H6s", _ask(asker, _SIOCGIFHWADDR, name))
        except OSError as error:
            if error.errno in (errno.ENODEV, errno.ENXIO):
                return None
            raise PathError(f"device {name} can't be looked at: {error.strerror}") from error
    if kind != _ARPHRD_ETHER:
        raise PathError(
            f"device {name} is no Ethernet device (ARPHRD {kind}); the packet path reads and "
            "writes Ethernet headers"
        )
    return Device(name, Port(index, mac), bool(flags & _IFF_RUNNING))


def _ask(asker: socket.socket, request: int, name: str) -> bytes:
    encoded = name.encode()
    if len(encoded) > 15:
        raise OSError(errno.ENODEV, "no device has so long a name")
    return bytes(_IFREQ.unpack(fcntl.ioctl(asker, request, _IFREQ.pack(encoded, b"")))[1])
