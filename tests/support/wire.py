"""WireGuard's messages (https://www.wireguard.com/protocol/): framing, MACs, cookies, data.

All integers are little-endian. Types: 1 initiation (148 bytes), 2 response (92), 3 cookie
reply (64), 4 data (32 and more; 32 is a keepalive).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2s

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tests.support.noise import Keys, NotAuthentic

IDENTIFIER = b"WireGuard v1 zx2c4 Jason@zx2c4.com"
INITIATION, RESPONSE, COOKIE, DATA = 1, 2, 3, 4
INITIATION_SIZE, RESPONSE_SIZE, COOKIE_SIZE, DATA_MIN = 148, 92, 64, 32
TAI_EPOCH = 0x400000000000000A
"""TAI64 label of 1970-01-01 00:00:00 UTC, ten leap seconds in, as WireGuard counts."""
WINDOW = 2048
_HEAD = struct.Struct("<II")
_ANSWER = struct.Struct("<III")
_DATA = struct.Struct("<IIQ")
_NONCE = struct.Struct("<4xQ")


def kind(datagram: bytes) -> int:
    """Type of a message of a size that it may have; 0 for anything else."""
    sizes = {INITIATION: INITIATION_SIZE, RESPONSE: RESPONSE_SIZE, COOKIE: COOKIE_SIZE}
    if len(datagram) < DATA_MIN or datagram[1:4] != b"\0\0\0":
        return 0
    found = datagram[0]
    if found == DATA:
        return DATA if len(datagram) % 16 == 0 else 0
    return found if sizes.get(found) == len(datagram) else 0


def initiation(sender: int, body: bytes) -> bytes:
    """Without the MACs."""
    return _HEAD.pack(INITIATION, sender) + body


def response(sender: int, receiver: int, body: bytes) -> bytes:
    """Without the MACs."""
    return _ANSWER.pack(RESPONSE, sender, receiver) + body


def sender(datagram: bytes) -> int:
    """Index of the side that made an initiation or a response."""
    return int.from_bytes(datagram[4:8], "little")


def receiver(datagram: bytes) -> int:
    """Index of the side that a response (offset 8), cookie reply or data (4) is for."""
    at = 8 if datagram[0] == RESPONSE else 4
    return int.from_bytes(datagram[at : at + 4], "little")


def handshake(datagram: bytes) -> bytes:
    """The Noise message inside an initiation or a response."""
    return datagram[8:-32] if datagram[0] == INITIATION else datagram[12:-32]


def timestamp(wall: float) -> bytes:
    """TAI64N of epoch seconds, as coarse as WireGuard makes it (2^24 ns)."""
    seconds, fraction = divmod(wall, 1)
    nanoseconds = int(fraction * 1e9) & ~0xFFFFFF
    return struct.pack(">QI", TAI_EPOCH + int(seconds), nanoseconds)


class Macs:
    """mac1 and mac2 of the messages to one public key, and the cookie that mac2 takes."""

    COOKIE_LIFE = 120.0

    def __init__(self, theirs: bytes) -> None:
        self._mac1 = blake2s(b"mac1----" + theirs).digest()
        self._seal = blake2s(b"cookie--" + theirs).digest()
        self._cookie = b""
        self._since = 0.0
        self._last = b""

    def sealed(self, message: bytes, now: float) -> bytes:
        """The message with both MACs behind it."""
        self._last = mac(self._mac1, message)
        message += self._last
        if self._cookie and now - self._since < self.COOKIE_LIFE:
            return message + mac(self._cookie, message)
        return message + bytes(16)

    def proves(self, datagram: bytes) -> bool:
        """Is mac1 right, for a handshake message to us? (Macs of the own key.)"""
        return datagram[-32:-16] == mac(self._mac1, datagram[:-32])

    def take_cookie(self, datagram: bytes, now: float) -> None:
        """Of a cookie reply to the last message. Raises NotAuthentic."""
        nonce, sealed = datagram[8:32], datagram[32:]
        self._cookie = xopen(self._seal, nonce, sealed, self._last)
        self._since = now


def mac(key: bytes, message: bytes) -> bytes:
    return blake2s(message, key=key, digest_size=16).digest()


@dataclass(frozen=True)
class Indices:
    """own: receiver index of what comes. theirs: of what goes."""

    own: int
    theirs: int


class Keypair:
    """One session's keys, counters and replay window. born: monotonic seconds."""

    __slots__ = ("_receive", "_seen", "_send", "born", "counter", "indices", "initiator", "top")

    def __init__(self, keys: Keys, indices: Indices, initiator: bool, born: float) -> None:
        self._send = ChaCha20Poly1305(keys.send)
        self._receive = ChaCha20Poly1305(keys.receive)
        self.indices = indices
        self.initiator = initiator
        self.born = born
        self.counter = 0
        self.top = -1
        self._seen = 0

    def seal(self, packet: bytes) -> bytes:
        """A data message. packet: padded here; empty makes a keepalive."""
        number, self.counter = self.counter, self.counter + 1
        padded = packet + bytes(-len(packet) % 16)
        head = _DATA.pack(DATA, self.indices.theirs, number)
        return head + self._send.encrypt(_NONCE.pack(number), padded, None)

    def open(self, datagram: bytes) -> bytes:
        """The packet with its padding. Raises NotAuthentic, for a replay, too."""
        _, _, number = _DATA.unpack_from(datagram)
        try:
            packet = self._receive.decrypt(_NONCE.pack(number), datagram[16:], None)
        except InvalidTag:
            raise NotAuthentic from None
        if not self._fresh(number):
            raise NotAuthentic
        return packet

    def _fresh(self, number: int) -> bool:
        """RFC 6479's job with one integer as the window."""
        if number > self.top:
            self._seen = (self._seen << (number - self.top) | 1) & ((1 << WINDOW) - 1)
            self.top = number
            return True
        bit = 1 << (self.top - number)
        if self.top - number >= WINDOW or self._seen & bit:
            return False
        self._seen |= bit
        return True


def xopen(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    """XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). nonce: 24 bytes. Raises NotAuthentic."""
    cipher = ChaCha20Poly1305(hchacha20(key, nonce[:16]))
    try:
        return cipher.decrypt(bytes(4) + nonce[16:], sealed, associated)
    except InvalidTag:
        raise NotAuthentic from None


def hchacha20(key: bytes, nonce: bytes) -> bytes:
    """The subkey (section 2.2 of the draft). nonce: 16 bytes."""
    words = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))
    for _ in range(10):
        for a, b, c, d in (
            (0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
            (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14),
        ):  # fmt: skip
            _quarter(words, a, b, c, d)
    return struct.pack("<8I", *words[:4], *words[12:])


def _quarter(words: list[int], a: int, b: int, c: int, d: int) -> None:
    """RFC 8439, section 2.1."""
    for x, y, z, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        words[x] = (words[x] + words[y]) & 0xFFFFFFFF
        turned = words[z] ^ words[x]
        words[z] = (turned << bits | turned >> (32 - bits)) & 0xFFFFFFFF
