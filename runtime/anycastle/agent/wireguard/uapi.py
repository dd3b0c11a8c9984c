"""Text of the userspace configuration protocol (wireguard.com/xplatform), pure.

A request is a line `get=1` or `set=1`, lines `key=value`, and an empty line; the
answer is lines `key=value`, `errno=N` and an empty line. Keys are in hexadecimal.
"""

from __future__ import annotations

import errno
import functools
import ipaddress
import os
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from anycastle.agent.wireguard.edge import (
    BATCH,
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
    some_key,
)
from anycastle.model.addresses import Endpoint, Network
from anycastle.model.codec import Key

GET = "get=1\n\n"

T = TypeVar("T")
Line = tuple[str, str]

_MEANING = {
    errno.EADDRINUSE: "another program has the UDP port: give that program or this node another",
    errno.EINVAL: "it takes a value for malformed: this agent's mistake",
    errno.EPROTO: "it takes the request for malformed: this agent's mistake",
    errno.EIO: "its connection broke: wireguard-go is stopping",
}


class UapiError(WireGuardError):
    """The daemon's answer is not what the protocol says, or it reports an error."""


# requests ------------------------------------------------------------------


def set_requests(operations: Iterable[DeviceOperation]) -> Iterator[str]:
    """Requests that carry out the operations in order, at most BATCH peers each.

    Settings of the device begin a request of their own: after a peer's key they
    would be taken for the peer's.
    """
    lines: list[str] = []
    peers = 0
    for operation in operations:
        settings = isinstance(operation, SetDevice)
        if lines and (settings or peers == BATCH):
            yield _set(lines)
            lines, peers = [], 0
        lines += _lines(operation)
        peers += not settings
    if lines:
        yield _set(lines)


def reset_request(peer: PeerConfig) -> str:
    """A request that removes the peer and adds it, in one transaction."""
    added = [*_put_lines(PutPeer(peer)), _keepalive(0)]
    return _set([*_lines(RemovePeer(peer.public_key)), *added])


def flush_request() -> str:
    """A request that removes every peer."""
    return _set(["replace_peers=true"])


def _set(lines: Iterable[str]) -> str:
    return "\n".join(["set=1", *lines, "", ""])


def _lines(operation: DeviceOperation) -> list[str]:
    if isinstance(operation, SetDevice):
        return list(_setting_lines(operation))
    if isinstance(operation, RemovePeer):
        # Without update_only, removing an unknown peer would first make it.
        return _update_lines(operation.public_key, "remove=true")
    if isinstance(operation, Initiate):
        return list(_initiate_lines(operation))
    if isinstance(operation, Quiet):
        return _update_lines(operation.public_key, _keepalive(0))
    return list(_put_lines(operation))


def _initiate_lines(operation: Initiate) -> Iterator[str]:
    """wireguard-go acts on a keepalive that was switched on where the peer's lines end."""
    key = operation.peer.public_key
    if operation.anew:
        yield from _lines(RemovePeer(key))
        yield from _put_lines(PutPeer(operation.peer))
    yield from _update_lines(key, f"endpoint={operation.endpoint}", _keepalive(1))
    yield from _update_lines(key, _keepalive(0))


def _update_lines(public_key: Key, *lines: str) -> list[str]:
    return [f"public_key={public_key.hex()}", "update_only=true", *lines]


def _keepalive(seconds: int) -> str:
    return f"persistent_keepalive_interval={seconds}"


def _setting_lines(operation: SetDevice) -> Iterator[str]:
    if operation.private_key is not None:
        yield f"private_key={clamp(operation.private_key).hex()}"
    if operation.listen_port is not None:
        yield f"listen_port={operation.listen_port}"
    if operation.fwmark is not None:
        yield f"fwmark={operation.fwmark}"


def _put_lines(operation: PutPeer) -> Iterator[str]:
    peer = operation.peer
    yield f"public_key={peer.public_key.hex()}"
    if operation.preshared_key:
        yield f"preshared_key={(peer.preshared_key or bytes(32)).hex()}"
    if operation.allowed_ips:
        yield "replace_allowed_ips=true"
        yield from (f"allowed_ip={network}" for network in peer.allowed_ips)


# answers -------------------------------------------------------------------


def check(answer: str) -> None:
    """Raises UapiError when the answer to a set request reports an error."""
    list(_split(answer))


def device_state(answer: str) -> DeviceState:
    """The configuration from the answer to GET. Raises UapiError."""
    settings, peers = _sections(answer)
    device = dict(settings)
    configs = (_config(key, lines) for key, lines in peers)
    return DeviceState(
        _field(device, "listen_port", int, 0),
        _field(device, "fwmark", int, 0),
        some_key(_field(device, "private_key", _hex, bytes(32))),
        {config.public_key: config for config in configs},
    )


def samples(answer: str) -> list[PeerSample]:
    """The peers' activity from the answer to GET. Raises UapiError."""
    return [_sample(key, dict(lines)) for key, lines in _sections(answer)[1]]


def _config(key: Key, lines: list[Line]) -> PeerConfig:
    fields = dict(lines)
    preshared = _field(fields, "preshared_key", _hex, bytes(32))
    keepalive = _field(fields, "persistent_keepalive_interval", int, 0)
    networks = (
        _parse("allowed_ip", value, _network) for name, value in lines if name == "allowed_ip"
    )
    return PeerConfig(key, some_key(preshared), in_order(networks), keepalive)


def _sample(key: Key, fields: dict[str, str]) -> PeerSample:
    seconds = _field(fields, "last_handshake_time_sec", int, 0)
    nanos = _field(fields, "last_handshake_time_nsec", int, 0)
    return PeerSample(
        key,
        _field(fields, "endpoint", _endpoint, None),
        seconds + nanos / 1e9,
        _field(fields, "rx_bytes", int, 0),
        _field(fields, "tx_bytes", int, 0),
    )


def _sections(answer: str) -> tuple[list[Line], list[tuple[Key, list[Line]]]]:
    """(settings of the device, (public key, lines) of each peer)."""
    settings: list[Line] = []
    peers: list[tuple[Key, list[Line]]] = []
    current = settings
    for name, value in _split(answer):
        if name == "public_key":
            current = []
            peers.append((_parse(name, value, lambda text: Key(_hex(text))), current))
        else:
            current.append((name, value))
    return settings, peers


def _split(answer: str) -> Iterator[Line]:
    """The lines before `errno`, once that is known to be 0."""
    lines = answer.splitlines()
    code = next((line for line in reversed(lines) if line.startswith("errno=")), None)
    if code is None:
        raise UapiError("wireguard-go's answer is cut off (no errno line): it stopped or crashed")
    _raise_errno(_parse("errno", code.partition("=")[2], int))
    for line in lines:
        name, equals, value = line.partition("=")
        if equals and name != "errno":
            yield name, value
        elif line and not equals:
            raise UapiError(f"wireguard-go answered {line!r}, which is not key=value: its mistake")


def _raise_errno(code: int) -> None:
    if code:
        number = abs(code)  # wireguard-go reports -EINVAL, the specification EINVAL
        reason = _MEANING.get(number, "see wireguard-go's log")
        raise UapiError(f"wireguard-go refused: {os.strerror(number)} (errno {number}); {reason}")


def _field(fields: dict[str, str], name: str, parse: Callable[[str], T], absent: T) -> T:
    return _parse(name, fields[name], parse) if name in fields else absent


def _parse(name: str, value: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(value)
    except ValueError as error:
        # A private or pre-shared key must not reach a log.
        shown = "…" if name.endswith("_key") else repr(value)
        reason = "malformed" if name.endswith("_key") else error
        raise UapiError(
            f"wireguard-go answered {name}={shown}: {reason}; its mistake, not the configuration's"
        ) from None


def _hex(text: str) -> bytes:
    raw = bytes.fromhex(text)
    if len(raw) != 32:
        raise ValueError(f"a key has 32 bytes, this one has {len(raw)}")
    return raw


@functools.lru_cache(maxsize=65536)
def _endpoint(text: str) -> Endpoint:
    """They are the same from sample to sample, and parsing one is most of the work."""
    return Endpoint.parse(text)


def _network(text: str) -> Network:
    return ipaddress.ip_network(text)
