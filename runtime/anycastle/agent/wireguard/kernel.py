"""The WireGuard edge over the kernel's own device."""

from __future__ import annotations

import errno
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

from anycastle.agent.netlink.attributes import attribute, walk
from anycastle.agent.netlink.edge import NetworkError
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.netlink.socket import (
    NETLINK_GENERIC,
    NLM_F_REQUEST,
    NetlinkError,
    NetlinkSocket,
)
from anycastle.agent.wireguard import netlink
from anycastle.agent.wireguard.edge import (
    DeviceMissing,
    DeviceOperation,
    DeviceState,
    PeerConfig,
    PeerSample,
    WireGuardError,
)

LINK_KIND: Final = "wireguard"

_GENL_ID_CTRL, _CTRL_CMD_GETFAMILY = 0x10, 3  # include/uapi/linux/genetlink.h
_CTRL_FAMILY_ID, _CTRL_FAMILY_NAME = 1, 2
_GENL_HEADER = struct.Struct("=BBxx")


class KernelWireGuard:
    """A WireGuardEdge on `device`, in the network namespace of the thread that makes it."""

    kind: Literal["kernel"] = "kernel"

    def __init__(self, device: str) -> None:
        self.device = device
        self._links = KernelNetwork()
        self._socket = NetlinkSocket(NETLINK_GENERIC)
        self._family: int | None = None

    def ensure(self) -> None:
        try:
            self._links.make_link(self.device, LINK_KIND)
            link = self._links.link(self.device)
        except NetworkError as error:
            raise WireGuardError(str(error)) from error
        if link is not None and link.kind != LINK_KIND:
            raise WireGuardError(
                f"device {self.device} exists and is of kind {link.kind or 'physical'!r}, not "
                f"{LINK_KIND!r}: another program made it; remove it or name another device"
            )

    def read(self) -> DeviceState | None:
        try:
            return netlink.device_state(self._dump())
        except DeviceMissing:
            return None

    def set(self, operations: Sequence[DeviceOperation]) -> None:
        self._send(netlink.set_device(self.device, operations))

    def sample(self) -> list[PeerSample]:
        return netlink.samples(self._dump())

    def reset_peer(self, peer: PeerConfig) -> None:
        self._send([netlink.reset_peer(self.device, peer)])

    def remove(self) -> None:
        try:
            # The kernel needs 19 ms per peer to delete a device, far less to flush them.
            self._send([netlink.flush_peers(self.device)])
        except DeviceMissing:
            return
        try:
            self._links.delete_link(self.device)
        except NetworkError as error:
            raise WireGuardError(str(error)) from error

    def close(self) -> None:
        self._links.close()
        self._socket.close()

    def _send(self, bodies: Iterable[bytes]) -> None:
        for body in bodies:
            message = _GENL_HEADER.pack(netlink.WG_CMD_SET_DEVICE, netlink.VERSION) + body
            self._call(self._socket.request, message)

    def _dump(self) -> list[bytes]:
        body = netlink.get_device(self.device)
        message = _GENL_HEADER.pack(netlink.WG_CMD_GET_DEVICE, netlink.VERSION) + body
        return [answer[_GENL_HEADER.size :] for answer in self._call(self._socket.dump, message)]

    def _call(self, exchange: Callable[[int, bytes], list[bytes]], message: bytes) -> list[bytes]:
        try:
            return exchange(self._family_id(), message)
        except NetlinkError as error:
            # The number of the family changes when the module is loaded again.
            self._family = None
            if error.errno in (errno.ENODEV, errno.ENOENT):
                raise DeviceMissing(f"there is no WireGuard device {self.device}") from None
            raise WireGuardError(
                f"the kernel refused a request for WireGuard device {self.device}: {error.strerror}"
            ) from error

    def _family_id(self) -> int:
        if self._family is None:
            name = attribute(_CTRL_FAMILY_NAME, netlink.FAMILY_NAME.encode() + b"\0")
            request = _GENL_HEADER.pack(_CTRL_CMD_GETFAMILY, 1) + name
            (answer,) = self._socket.request(_GENL_ID_CTRL, request, NLM_F_REQUEST)
            for kind, first, _ in walk(answer, _GENL_HEADER.size):
                if kind == _CTRL_FAMILY_ID:
                    (self._family,) = struct.unpack_from("=H", answer, first)
        if self._family is None:
            raise NetlinkError(errno.ENOENT, "the kernel has no WireGuard family")
        return self._family
