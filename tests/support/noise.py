"""The handshake of WireGuard, both sides of it: Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s.

The Noise Protocol Framework, revision 34, pattern IK with a pre-shared key in the second
message, without WireGuard's framing (tests/support/wire.py has that):

    <- s                          the initiator knows the responder's static key
    ...
    -> e, es, s, ss               the initiation, with a payload: WireGuard's timestamp
    <- e, ee, se, psk             the response, with a payload: none in WireGuard

Pure but for the random ephemeral keys, which a caller may give.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2s

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

NAME = b"Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s"
NONCE = bytes(12)
TAG = 16
KEY = 32
_INNER = bytes(each ^ 0x36 for each in range(256))
_OUTER = bytes(each ^ 0x5C for each in range(256))


class NotAuthentic(Exception):
    """A message that the other side did not make, or not for this handshake."""


@dataclass(frozen=True, eq=False)
class Static:
    """One side's own static key pair."""

    private: X25519PrivateKey
    public: bytes

    @classmethod
    def of(cls, private: bytes) -> Static:
        key = X25519PrivateKey.from_private_bytes(private)
        return cls(key, key.public_key().public_bytes_raw())


@dataclass(frozen=True)
class Keys:
    """What a finished handshake gives to one side. handshake: the hash that both share."""

    send: bytes
    receive: bytes
    handshake: bytes


class Transcript:
    """The symmetric state: chaining key and hash of all that was said (section 5.2)."""

    __slots__ = ("chaining", "hash")

    def __init__(self, prologue: bytes, responder: bytes) -> None:
        self.chaining = _digest(NAME)
        self.hash = _start(prologue, responder)

    def mix_hash(self, data: bytes) -> None:
        self.hash = _digest(self.hash + data)

    def mix_ephemeral(self, public: bytes) -> None:
        """Token `e` of a handshake with a pre-shared key: hash and chaining key."""
        self.mix_hash(public)
        (self.chaining,) = derive(self.chaining, public, 1)

    def mix_key(self, secret: bytes) -> bytes:
        self.chaining, key = derive(self.chaining, secret, 2)
        return key

    def mix_psk(self, preshared: bytes) -> bytes:
        self.chaining, hashed, key = derive(self.chaining, preshared, 3)
        self.mix_hash(hashed)
        return key

    def seal(self, key: bytes, plain: bytes) -> bytes:
        sealed = ChaCha20Poly1305(key).encrypt(NONCE, plain, self.hash)
        self.mix_hash(sealed)
        return sealed

    def open(self, key: bytes, sealed: bytes) -> bytes:
        """Raises NotAuthentic."""
        try:
            plain = ChaCha20Poly1305(key).decrypt(NONCE, sealed, self.hash)
        except InvalidTag:
            raise NotAuthentic from None
        self.mix_hash(sealed)
        return plain

    def split(self) -> tuple[bytes, bytes]:
        """(key of the initiator, key of the responder)."""
        first, second = derive(self.chaining, b"", 2)
        return first, second


class Initiator:
    """One handshake from the side that begins it. preshared: 32 bytes, zeros where none."""

    def __init__(
        self,
        own: Static,
        responder: bytes,
        preshared: bytes,
        prologue: bytes,
        ephemeral: X25519PrivateKey | None = None,
    ) -> None:
        self._own = own
        self._preshared = preshared
        self._responder = responder
        self._ephemeral = ephemeral or X25519PrivateKey.generate()
        self._transcript = Transcript(prologue, responder)

    def message(self, payload: bytes) -> bytes:
        """The first message: ephemeral key, sealed static key, sealed payload."""
        said = self._transcript
        public = self._ephemeral.public_key().public_bytes_raw()
        said.mix_ephemeral(public)
        key = said.mix_key(exchange(self._ephemeral, self._responder))
        static = said.seal(key, self._own.public)
        key = said.mix_key(shared(self._own, self._responder))
        return public + static + said.seal(key, payload)

    def finish(self, message: bytes) -> tuple[Keys, bytes]:
        """Keys and payload of the second message. Raises NotAuthentic.

        May be called again after it raised: somebody else's answer changes nothing.
        """
        before = self._transcript.chaining, self._transcript.hash
        try:
            return self._finish(message)
        except NotAuthentic:
            self._transcript.chaining, self._transcript.hash = before
            raise

    def _finish(self, message: bytes) -> tuple[Keys, bytes]:
        said, theirs = self._transcript, message[:KEY]
        said.mix_ephemeral(theirs)
        said.mix_key(exchange(self._ephemeral, theirs))
        said.mix_key(exchange(self._own.private, theirs))
        payload = said.open(said.mix_psk(self._preshared), message[KEY:])
        send, receive = said.split()
        return Keys(send, receive, said.hash), payload


class Responder:
    """One handshake from the side that was asked.

    Made of the first message; raises NotAuthentic. initiator: the static key that the
    message proved, to find the pre-shared key by. payload: of the message.
    """

    def __init__(self, own: Static, prologue: bytes, message: bytes) -> None:
        said = self._transcript = Transcript(prologue, own.public)
        self._theirs = message[:KEY]
        said.mix_ephemeral(self._theirs)
        key = said.mix_key(exchange(own.private, self._theirs))
        self.initiator = said.open(key, message[KEY : 2 * KEY + TAG])
        key = said.mix_key(shared(own, self.initiator))
        self.payload = said.open(key, message[2 * KEY + TAG :])

    def message(
        self, preshared: bytes, payload: bytes = b"", ephemeral: X25519PrivateKey | None = None
    ) -> tuple[bytes, Keys]:
        """The second message, and the keys that it makes."""
        said = self._transcript
        own = ephemeral or X25519PrivateKey.generate()
        public = own.public_key().public_bytes_raw()
        said.mix_ephemeral(public)
        said.mix_key(exchange(own, self._theirs))
        said.mix_key(exchange(own, self.initiator))
        sealed = said.seal(said.mix_psk(preshared), payload)
        receive, send = said.split()
        return public + sealed, Keys(send, receive, said.hash)


def derive(key: bytes, data: bytes, outputs: int) -> tuple[bytes, ...]:
    """HKDF with HMAC-BLAKE2s (Noise section 4.3): 1 to 3 keys of 32 bytes."""
    secret = hmac(key, data)
    last, found = b"", []
    for number in range(1, outputs + 1):
        last = hmac(secret, last + bytes((number,)))
        found.append(last)
    return tuple(found)


def hmac(key: bytes, data: bytes) -> bytes:
    """HMAC-BLAKE2s (RFC 2104), key of up to 64 bytes; half the time of the library's."""
    padded = key.ljust(64, b"\0")
    inner = blake2s(padded.translate(_INNER) + data).digest()
    return blake2s(padded.translate(_OUTER) + inner).digest()


def exchange(private: X25519PrivateKey, public: bytes) -> bytes:
    """X25519. Raises NotAuthentic for a point of low order."""
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        raise NotAuthentic from None


def shared(own: Static, other: bytes) -> bytes:
    """X25519 of two static keys: the same in every handshake of the two."""
    return _shared(own, other)


@lru_cache(maxsize=65536)
def _shared(own: Static, other: bytes) -> bytes:
    return exchange(own.private, other)


@lru_cache(maxsize=256)
def _start(prologue: bytes, responder: bytes) -> bytes:
    return _digest(_digest(_digest(NAME) + prologue) + responder)


def _digest(data: bytes) -> bytes:
    return blake2s(data).digest()
