"""The WireGuard edge over wireguard-go's socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import structlog

from anycastle.agent.netlink.edge import NetworkError
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.wireguard import buffers, uapi
from anycastle.agent.wireguard.edge import (
    DeviceMissing,
    DeviceOperation,
    DeviceState,
    PeerConfig,
    PeerSample,
    WireGuardError,
)

log = structlog.get_logger()
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
        self._shallow = False

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
            state = uapi.device_state(self._request(uapi.GET))
            self._deepen_buffers()
        except DeviceMissing:
            return None
        return state

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

    def _deepen_buffers(self) -> None:
        """Of the sockets that there are now: it opens new ones with each port and each start.

        Only nice to have, so a host that does not let us is told of once.
        """
        try:
            with self._connection() as connection:
                pid = buffers.peer(connection)
            buffers.deepen(pid)
        except OSError as error:
            if not self._shallow:
                log.warning("wireguard-go keeps its small socket buffers", reason=str(error))
            self._shallow = True

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
            with self._connection() as connection:
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

    @contextmanager
    def _connection(self) -> Iterator[socket.socket]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_TIMEOUT)
            connection.connect(str(self._path))
            yield connection

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
