"""The files that bootstrap wrote for this node, read and checked.

node.json         the node spec (`model.node.NodeSpec`)
peers.json        an array of the other nodes (`model.node.Peer`)
service.key       the WireGuard private key of the service, base64
control-ca.pem, join.token: read where they are used (`identity`)
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TypeVar

from anycastle.model import codec
from anycastle.model.codec import Key, ModelError
from anycastle.model.node import NodeSpec, Peer

DIRECTORY = Path("/etc/anycastle")
STATE_DIRECTORY = Path("/var/lib/anycastle")
RUN_DIRECTORY = Path("/run/anycastle")

DEVICE_NAME_MAX = 15
"""Characters of a network device's name (IFNAMSIZ, linux/if.h)."""

T = TypeVar("T")

LIVE = ("edges", "services", "health", "takeover", "secrets")
"""Fields of the node spec that a running agent takes over. A change of any other makes
it restart: nothing of the data path stops meanwhile."""


class SettingsError(Exception):
    """A file of /etc/anycastle is missing or wrong. The message names file and field."""


@dataclass(frozen=True)
class Settings:
    """peers: sorted by name, this node left out."""

    spec: NodeSpec
    peers: tuple[Peer, ...]
    service_key: Key

    @property
    def rank(self) -> int:
        """This node's place among all nodes of the deployment, by router id."""
        own = self.spec.loopbacks.v4
        return sum(peer.loopbacks.v4 < own for peer in self.peers)


def load(directory: Path) -> Settings:
    """Read everything. Raises SettingsError."""
    spec = node_spec(directory)
    peers = _peers(directory / "peers.json", spec.name)
    return Settings(spec, peers, _service_key(directory / "service.key"))


def node_spec(directory: Path) -> NodeSpec:
    """The node spec alone. Raises SettingsError."""
    spec = _model(directory / "node.json", NodeSpec)
    _check(directory / "node.json", spec)
    return spec


def needs_restart(old: Settings, new: Settings) -> list[str]:
    """Names of the changed settings that only a new agent can take over."""
    changed = [
        name
        for name in old.spec.__struct_fields__
        if name not in LIVE and getattr(old.spec, name) != getattr(new.spec, name)
    ]
    return [*changed, *(["service.key"] if old.service_key != new.service_key else [])]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"{path}: {error.strerror}: bootstrap (`pulumi up`) has to write it"
        ) from None


def _model(path: Path, kind: type[T]) -> T:
    try:
        return codec.from_json(_read(path), kind)
    except ModelError as error:
        raise SettingsError(f"{path}: {error}") from None


def _peers(path: Path, own: str) -> tuple[Peer, ...]:
    """The others, by name. Raises SettingsError, also for two that can't be told apart."""
    found = _model(path, tuple[Peer, ...])
    for field in ("name", "loopbacks.v4", "loopbacks.v6"):
        first: dict[object, int] = {}
        for index, value in enumerate(map(attrgetter(field), found)):
            if (before := first.setdefault(value, index)) != index:
                raise SettingsError(
                    f"{path}: [{index}].{field}: {value} is that of [{before}], too"
                )
    return tuple(sorted((peer for peer in found if peer.name != own), key=attrgetter("name")))


def _service_key(path: Path) -> Key:
    try:
        return Key.from_text(_read(path).decode().strip())
    except ValueError as error:
        raise SettingsError(f"{path}: not a WireGuard private key: {error}") from None


def _check(path: Path, spec: NodeSpec) -> None:
    """What the types do not say. Raises SettingsError for the first fault."""
    for field, good, reason in (
        ("anycast.addresses", spec.anycast.addresses, "at least one address is needed"),
        (
            "anycast.prefixes",
            spec.anycast.prefixes or not spec.hold_anycast,
            "at least one prefix is needed",
        ),
        ("anycast.port", _is_port(spec.anycast.port), "a port is from 1 to 65535"),
        ("listen_port", _is_port(spec.listen_port), "a port is from 1 to 65535"),
        ("asn", 0 < spec.asn < 2**32, "an AS number is from 1 to 4294967295"),
        ("wireguard.device", _is_device(spec.wireguard.device), "not a device name"),
        ("health.interval", spec.health.interval >= 0.1, "at least 0.1 seconds"),
        ("health.rise", spec.health.rise >= 1, "at least 1"),
        ("health.fall", spec.health.fall >= 1, "at least 1"),
        ("health.hold_down", spec.health.hold_down > 0, "more than 0 seconds"),
        *(
            (f"edges[{n}].device", _is_device(edge.device), "not a device name")
            for n, edge in enumerate(spec.edges)
        ),
    ):
        if not good:
            raise SettingsError(f"{path}: {field}: {reason}")


def _is_port(number: int) -> bool:
    return 0 < number < 65536


def _is_device(name: str) -> bool:
    return 0 < len(name) <= DEVICE_NAME_MAX and not set(name) & set("/ \t\n")
