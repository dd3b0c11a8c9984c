"""The WireGuard edge in memory: for tests, and as the shortest account of what an edge does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from anycastle.agent.wireguard.edge import (
    DeviceMissing,
    DeviceOperation,
    DeviceState,
    Initiate,
    PeerConfig,
    PeerSample,
    PutPeer,
    Quiet,
    RemovePeer,
    SetDevice,
    WireGuardError,
    clamp,
    in_order,
)
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.codec import Key


class FakeWireGuard:
    """A WireGuardEdge. Knobs: `vanish`, `refuse` (keys of peers), `broken`, `session`.

    sent: every batch that was set. initiated: the initiations that left.
    """

    kind: Literal["userspace"] = "userspace"

    def __init__(self, device: str = "wg0") -> None:
        self.device = device
        self.state: DeviceState | None = None
        self.activity: dict[Key, PeerSample] = {}
        self.sent: list[list[DeviceOperation]] = []
        self.initiated: list[Initiate] = []
        self.refuse: set[Key] = set()
        self.broken = False

    def vanish(self) -> None:
        """Take the device away, as `ip link delete` does."""
        self.state, self.activity = None, {}

    def session(self, public_key: Key, endpoint: Endpoint, at: float) -> None:
        """Pretend a confirmed handshake."""
        self.activity[public_key] = PeerSample(public_key, endpoint, at, 148, 92)

    def ensure(self) -> None:
        if self.broken:
            raise WireGuardError("the fake device is broken")
        if self.state is None:
            self.state = DeviceState(0, 0, None, {})

    def read(self) -> DeviceState | None:
        if self.state is None:
            return None
        return msgspec.structs.replace(self.state, peers=dict(self.state.peers))

    def set(self, operations: Sequence[DeviceOperation]) -> None:
        self._present()
        self.sent.append(list(operations))
        for operation in operations:
            if isinstance(operation, SetDevice):
                self._configure(operation)
            elif isinstance(operation, PutPeer):
                self._put(operation)
            elif isinstance(operation, Initiate):
                self._initiate(operation)
            elif isinstance(operation, Quiet):
                self._quiet(operation.public_key)
            else:
                self._remove(operation)

    def sample(self) -> list[PeerSample]:
        idle = (PeerSample(key, None, 0.0, 0, 0) for key in self._present().peers)
        return [self.activity.get(sample.public_key, sample) for sample in idle]

    def reset_peer(self, peer: PeerConfig) -> None:
        self.set([RemovePeer(peer.public_key), PutPeer(peer)])

    def remove(self) -> None:
        self.vanish()

    def close(self) -> None:
        pass

    def _present(self) -> DeviceState:
        if self.state is None:
            raise DeviceMissing(f"there is no WireGuard device {self.device}")
        return self.state

    def _configure(self, operation: SetDevice) -> None:
        state = self._present()
        key = operation.private_key
        self.state = msgspec.structs.replace(
            state,
            private_key=state.private_key if key is None else clamp(key),
            listen_port=_given(operation.listen_port, state.listen_port),
            fwmark=_given(operation.fwmark, state.fwmark),
        )

    def _put(self, operation: PutPeer) -> None:
        peer, peers = operation.peer, self._present().peers
        if peer.public_key in self.refuse:
            raise WireGuardError(f"the fake device refuses {peer.public_key.text}")
        old = peers.get(peer.public_key, PeerConfig(peer.public_key))
        allowed = set(peer.allowed_ips if operation.allowed_ips else old.allowed_ips)
        for key, other in peers.items():
            peers[key] = _without(other, allowed)  # an address has one peer: the last
        peers[peer.public_key] = PeerConfig(
            peer.public_key,
            peer.preshared_key if operation.preshared_key else old.preshared_key,
            in_order(allowed),
            old.keepalive,
        )

    def _initiate(self, operation: Initiate) -> None:
        key = operation.peer.public_key
        if operation.anew:
            self._remove(RemovePeer(key))
            self._put(PutPeer(operation.peer))
        if key not in self._present().peers:
            return
        sample = self.activity.get(key, PeerSample(key, None, 0.0, 0, 0))
        self.activity[key] = msgspec.structs.replace(sample, endpoint=operation.endpoint)
        if not sample.latest_handshake:
            self.initiated.append(operation)

    def _quiet(self, public_key: Key) -> None:
        peers = self._present().peers
        if public_key in peers:
            peers[public_key] = msgspec.structs.replace(peers[public_key], keepalive=0)

    def _remove(self, operation: RemovePeer) -> None:
        self._present().peers.pop(operation.public_key, None)
        self.activity.pop(operation.public_key, None)


def _given(new: int | None, old: int) -> int:
    return old if new is None else new


def _without(peer: PeerConfig, networks: set[Network]) -> PeerConfig:
    left = tuple(network for network in peer.allowed_ips if network not in networks)
    return msgspec.structs.replace(peer, allowed_ips=left)
