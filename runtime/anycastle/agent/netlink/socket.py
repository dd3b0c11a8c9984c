"""Netlink requests over one blocking socket (include/uapi/linux/netlink.h, RFC 3549).

Every request asks for an acknowledgement, so it ends in one of three ways: an
acknowledgement, an error with the kernel's own words (extended ACK), or a time-out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator, Sequence

from anycastle.agent.netlink.attributes import walk

NLM_F_REQUEST, NLM_F_MULTI, NLM_F_ACK, NLM_F_DUMP_INTR = 0x1, 0x2, 0x4, 0x10
NLM_F_DUMP = 0x300
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSG_ERROR, NLMSG_DONE = 0x2, 0x3
NLMSGERR_ATTR_MSG = 1
NETLINK_ROUTE, NETLINK_NETFILTER, NETLINK_GENERIC = 0, 12, 16

_SOL_NETLINK = 270
_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK = 10, 11, 12
_HEADER = struct.Struct("=IHHII")
_ERROR = struct.Struct("=i")
_RECEIVE = 1 << 16  # a dump's messages are at most 32 KiB
_RECEIVE_BUFFER = 4 << 20
_SO_RCVBUFFORCE = 33  # asm-generic/socket.h
_DUMP_ATTEMPTS = 5


class NetlinkError(OSError):
    """The kernel refused a request. errno and strerror as usual; strerror has its words."""


class NetlinkSocket:
    """A socket in the network namespace of the thread that makes it. Not for two threads at once.

    protocol: NETLINK_ROUTE, NETLINK_NETFILTER or NETLINK_GENERIC. timeout: seconds
    without an answer after which a request raises NetlinkError (ETIMEDOUT).
    """

    def __init__(self, protocol: int, timeout: float = 5.0) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, protocol
        )
        for option in (_NETLINK_CAP_ACK, _NETLINK_EXT_ACK, _NETLINK_GET_STRICT_CHK):
            self._socket.setsockopt(_SOL_NETLINK, option, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        self._socket.settimeout(timeout)
        self._socket.bind((0, 0))
        self._sequence = 0

    def request(self, kind: int, body: bytes, flags: int = 0) -> list[bytes]:
        """Send one message; the bodies of the answers. Raises NetlinkError."""
        return [answer for answer, _ in self._exchange(kind, body, flags | NLM_F_ACK)]

    def dump(self, kind: int, body: bytes) -> list[bytes]:
        """The bodies of everything that matches. Raises NetlinkError.

        A dump during which things changed is incoherent and is asked for again.
        """
        for _ in range(_DUMP_ATTEMPTS):
            answers = list(self._exchange(kind, body, NLM_F_DUMP))
            if not any(interrupted for _, interrupted in answers):
                break
        # Still changing: what was read is the newest there is, and the next
        # reconcile reads again.
        return [answer for answer, _ in answers if answer]

    def transact(self, requests: Sequence[tuple[int, int, bytes]]) -> None:
        """Send (type, flags, body) of several messages in one datagram: nfnetlink's batch.

        Waits for those with NLM_F_ACK. Raises NetlinkError, of the first refused one.
        """
        framed, waiting, first = [], set(), self._sequence + 1
        for kind, flags, body in requests:
            self._sequence += 1
            length = _HEADER.size + len(body)
            header = _HEADER.pack(length, kind, flags | NLM_F_REQUEST, self._sequence, 0)
            framed.append(header + body)
            if flags & NLM_F_ACK:
                waiting.add(self._sequence)
        self._socket.send(b"".join(framed))
        while waiting:
            data = self._read()
            for kind, flags, sequence, start, end in messages(data):
                if kind == NLMSG_ERROR and sequence >= first:
                    raise_error(data[start:end], flags)
                    waiting.discard(sequence)

    def subscribe(self, buffer: int) -> socket.socket:
        """The socket itself, for messages that nobody asked for; no requests from now on.

        buffer: bytes that may wait to be read, as far as this process may ask for so many.
        """
        with contextlib.suppress(PermissionError):
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer)
        self._socket.setblocking(False)
        return self._socket

    def close(self) -> None:
        self._socket.close()

    def _exchange(self, kind: int, body: bytes, flags: int) -> Iterator[tuple[bytes, bool]]:
        self._sequence = self._sequence % 0xFFFFFFFF + 1
        length = _HEADER.size + len(body)
        header = _HEADER.pack(length, kind, flags | NLM_F_REQUEST, self._sequence, 0)
        self._socket.send(header + body)
        while True:
            for answered, answer_flags, answer in self._receive():
                interrupted = bool(answer_flags & NLM_F_DUMP_INTR)
                if answered == NLMSG_DONE:
                    raise_error(answer, answer_flags)
                    yield b"", interrupted
                    return
                if answered == NLMSG_ERROR:
                    raise_error(answer, answer_flags)
                    return
                yield answer, interrupted

    def _receive(self) -> Iterator[tuple[int, int, bytes]]:
        """(type, flags, body) of the messages of one datagram that answer this request."""
        data = self._read()
        for kind, flags, sequence, start, end in messages(data):
            if sequence == self._sequence:
                yield kind, flags, data[start:end]

    def _read(self) -> bytes:
        try:
            return self._socket.recv(_RECEIVE)
        except TimeoutError:
            raise NetlinkError(errno.ETIMEDOUT, "the kernel did not answer in time") from None


def messages(data: bytes) -> Iterator[tuple[int, int, int, int, int]]:
    """(type, flags, sequence, first byte, one past the last) of each message's body, pure."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _ = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise NetlinkError(errno.EBADMSG, f"a netlink message of {length} bytes is cut off")
        yield kind, flags, sequence, offset + _HEADER.size, offset + length
        offset += (length + 3) & ~3


def raise_error(body: bytes, flags: int) -> None:
    """Raise NetlinkError unless the body of NLMSG_ERROR or NLMSG_DONE says 0, pure."""
    if len(body) < _ERROR.size:
        return
    (code,) = _ERROR.unpack_from(body)
    if code == 0:
        return
    words = _words(body, flags)
    reason = os.strerror(-code)
    raise NetlinkError(-code, f"{reason}: {words}" if words else reason)


def _words(body: bytes, flags: int) -> str:
    """The extended ACK's text, if the kernel gave one.

    The error code is followed by the header of the request (the whole request
    unless NLM_F_CAPPED), then by attributes; after NLMSG_DONE by attributes only.
    """
    if not flags & NLM_F_ACK_TLVS:
        return ""
    start = _ERROR.size
    if not flags & NLM_F_MULTI:
        (length,) = struct.unpack_from("=I", body, start)
        start += _HEADER.size if flags & NLM_F_CAPPED else (length + 3) & ~3
    for kind, first, last in walk(body, start):
        if kind == NLMSGERR_ATTR_MSG:
            return body[first:last].rstrip(b"\0").decode(errors="replace")
    return ""
