"""What the agent knows and says of a WireGuard device.

State is `DeviceState`; a change is a sequence of operations, each small and
idempotent: carrying one out twice is the same as once. A `WireGuardEdge` reads
the one and carries out the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

from anycastle.model.addresses import Endpoint, Network
from anycastle.model.codec import Key

BATCH = 64
"""Peers per message. The kernel holds the RTNL lock for a whole message, so more
would keep everything else on the node waiting (64 peers take some 10 ms)."""


class WireGuardError(Exception):
    """WireGuard refused or could not be reached. The message says what and whose fault."""


class DeviceMissing(WireGuardError):
    """There is no such device now: `ensure` makes it."""


class PeerConfig(msgspec.Struct, frozen=True):
    """A peer as configured. allowed_ips: as `in_order` puts them.

    keepalive: seconds between persistent keepalives, 0: none. A node's peers have none:
    it is clients who keep their NAT's mapping alive.
    """

    public_key: Key
    preshared_key: Key | None = None
    allowed_ips: tuple[Network, ...] = ()
    keepalive: int = 0


class PeerSample(msgspec.Struct, frozen=True):
    """What a peer has done. latest_handshake: epoch seconds, 0.0 when there was none.

    received, sent: bytes since the peer was added.
    """

    public_key: Key
    endpoint: Endpoint | None
    latest_handshake: float
    received: int
    sent: int


class DeviceState(msgspec.Struct, frozen=True):
    """A device as configured. private_key: clamped; None when it has none."""

    listen_port: int
    fwmark: int
    private_key: Key | None
    peers: dict[Key, PeerConfig]


class EnsureDevice(msgspec.Struct, frozen=True):
    """Make the device exist."""

    device: str

    def __str__(self) -> str:
        return f"device {self.device} make"


class SetDevice(msgspec.Struct, frozen=True):
    """Set what is not None. A new private key ends every session of the device."""

    private_key: Key | None = None
    listen_port: int | None = None
    fwmark: int | None = None

    def __str__(self) -> str:
        parts = ["private-key …"] if self.private_key is not None else []
        parts += [f"listen-port {self.listen_port}"] if self.listen_port is not None else []
        parts += [f"fwmark {self.fwmark}"] if self.fwmark is not None else []
        return " ".join(["wireguard set", *parts])


class PutPeer(msgspec.Struct, frozen=True):
    """Add the peer, or change the named parts of it.

    preshared_key, allowed_ips: which parts to set (of a new peer, both). A part
    that is set replaces what was there; the session goes on.
    """

    peer: PeerConfig
    preshared_key: bool = True
    allowed_ips: bool = True

    def __str__(self) -> str:
        text = f"peer put {self.peer.public_key.text}"
        if self.preshared_key:
            text += " psk …" if self.peer.preshared_key else " psk none"
        if self.allowed_ips:
            text += " allowed " + (" ".join(map(str, self.peer.allowed_ips)) or "nothing")
        return text


class RemovePeer(msgspec.Struct, frozen=True):
    """Remove the peer with its session; nothing happens when there is none."""

    public_key: Key

    def __str__(self) -> str:
        return f"peer remove {self.public_key.text}"


class Initiate(msgspec.Struct, frozen=True):
    """Make WireGuard send the peer at `endpoint` a handshake initiation, at once.

    There is no request for that. What there is: a keepalive that is switched on is sent
    at once, and begins a handshake where the peer has no keys. It is switched off again
    in the same message, so that nothing is left behind to re-key for ever.

    anew: remove the peer first and add it, in the same message. Without, a peer that
    holds keys of the last 180 s sends its keepalive under them, a peer that initiated
    less than 5 s ago sends nothing (REKEY_TIMEOUT), and a missing one is not made.
    Unanswered, WireGuard repeats an initiation every 5 s for 90 s: `reset_peer` ends that.
    """

    peer: PeerConfig
    endpoint: Endpoint
    anew: bool = False

    def __str__(self) -> str:
        anew = " anew" if self.anew else ""
        return f"peer initiate {self.peer.public_key.text} at {self.endpoint}{anew}"


class Quiet(msgspec.Struct, frozen=True):
    """No more persistent keepalives to the peer; nothing happens when there is none."""

    public_key: Key

    def __str__(self) -> str:
        return f"peer quiet {self.public_key.text}"


PeerOperation = PutPeer | RemovePeer | Initiate | Quiet
DeviceOperation = SetDevice | PeerOperation


def clamp(private_key: Key) -> Key:
    """The key as X25519 uses it (RFC 7748, section 5), and as devices give it back.

    Compare and send clamped keys only: the kernel takes an unclamped one for a new
    key, even when it is the same, and ends every session.
    """
    raw = bytearray(private_key)
    raw[0] &= 248
    raw[31] = (raw[31] & 127) | 64
    return Key(bytes(raw))


def some_key(raw: bytes) -> Key | None:
    """A key as devices report it: 32 zero bytes mean that there is none."""
    return Key(raw) if any(raw) else None


def in_order(networks: Iterable[Network]) -> tuple[Network, ...]:
    """Allowed IPs in the one order in which configurations are compared."""
    return tuple(
        sorted(networks, key=lambda net: (net.version, net.network_address, net.prefixlen))
    )


class WireGuardEdge(Protocol):
    """One device. Blocking; calls must not overlap. Every call may raise WireGuardError.

    The device may vanish between any two calls: `read` then returns None, `set`
    and `sample` raise DeviceMissing, and `ensure` makes it again.
    """

    @property
    def kind(self) -> Literal["kernel", "userspace"]: ...

    @property
    def device(self) -> str: ...

    def ensure(self) -> None:
        """Make the device exist and answer."""

    def read(self) -> DeviceState | None:
        """The configuration, or None when there is no device."""

    def set(self, operations: Sequence[DeviceOperation]) -> None:
        """Carry out in order, in batches. After an error some may have been done."""

    def sample(self) -> list[PeerSample]:
        """Activity of every peer."""

    def reset_peer(self, peer: PeerConfig) -> None:
        """Remove and add the peer in one message: no keys, timers, endpoint, keepalive."""

    def remove(self) -> None:
        """Flush the peers, then delete the device; nothing happens when there is none."""

    def close(self) -> None: ...
