"""The WireGuard edge over wireguard-go's socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from anycastle.agent.netlink.edge import NetworkError
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.wireguard import uapi
from anycastle.agent.wireguard.edge import (
    DeviceMissing,
    DeviceOperation,
    DeviceState,
    PeerConfig,
    PeerSample,
    WireGuardError,
)

SOCKET_DIRECTORY = Path("/var/run/wireguard")

_TIMEOUT = 5.0
_START_POLL = 0.02


class UserspaceWireGuard:
    """A WireGuardEdge on `device`, in the network namespace of the thread that makes it.

    start: makes wireguard-go run for a device (it may already run); it returns when
    the start is under way. stop: ends it, which deletes the device. start_timeout:
    seconds until it has to answer.
    """

    kind: Literal["userspace"] = "userspace"

    def __init__(
        self,
        device: str,
        start: Callable[[str], None],
        stop: Callable[[str], None],
        directory: Path = SOCKET_DIRECTORY,
        start_timeout: float = 5.0,
    ) -> None:
        self.device = device
        self._start, self._stop = start, stop
        self._path = directory / f"{device}.sock"
        self._start_timeout = start_timeout
        self._links = KernelNetwork()

    def ensure(self) -> None:
        if self._answers():
            return
        self._start(self.device)
        deadline = time.monotonic() + self._start_timeout
        while not self._answers():
            if time.monotonic() > deadline:
                raise WireGuardError(
                    f"wireguard-go was started for {self.device} but does not answer on "
                    f"{self._path} after {self._start_timeout:g} s; its log says why"
                )
            time.sleep(_START_POLL)

    def read(self) -> DeviceState | None:
        try:
            return uapi.device_state(self._request(uapi.GET))
        except DeviceMissing:
            return None

    def set(self, operations: Sequence[DeviceOperation]) -> None:
        self._send(uapi.set_requests(operations))

    def sample(self) -> list[PeerSample]:
        return uapi.samples(self._request(uapi.GET))

    def reset_peer(self, peer: PeerConfig) -> None:
        self._send([uapi.reset_request(peer)])

    def remove(self) -> None:
        self._stop(self.device)

    def close(self) -> None:
        self._links.close()

    def _answers(self) -> bool:
        try:
            uapi.check(self._request(uapi.GET))
        except DeviceMissing:
            return False
        return True

    def _send(self, requests: Iterable[str]) -> None:
        for request in requests:
            uapi.check(self._request(request))

    def _request(self, text: str) -> str:
        """One request on a connection of its own: there is no state to lose with one."""
        # A daemon whose device was deleted may answer for some moments more.
        if not self._link_exists():
            raise DeviceMissing(f"there is no WireGuard device {self.device}")
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(_TIMEOUT)
                connection.connect(str(self._path))
                connection.sendall(text.encode())
                return _read_answer(connection)
        except (FileNotFoundError, ConnectionError) as error:
            reason = f"wireguard-go does not listen on {self._path}: {error.strerror}"
            raise DeviceMissing(reason) from None
        except TimeoutError:
            raise WireGuardError(
                f"wireguard-go did not answer on {self._path} within {_TIMEOUT:.0f} s: it hangs"
            ) from None
        except OSError as error:
            raise WireGuardError(f"wireguard-go on {self._path}: {error.strerror}") from error

    def _link_exists(self) -> bool:
        try:
            return self._links.exists(self.device)
        except NetworkError as error:
            raise WireGuardError(str(error)) from error


def _read_answer(connection: socket.socket) -> str:
    """Everything up to the empty line, or to the end when the daemon stops."""
    parts: list[bytes] = []
    tail = b""
    while tail != b"\n\n" and (part := connection.recv(1 << 16)):
        parts.append(part)
        tail = (tail + part)[-2:]
    return b"".join(parts).decode("ascii", errors="replace")
