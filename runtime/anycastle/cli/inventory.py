"""The hosts of a lab, as its Pulumi program wrote them to `.lab/NAME/hosts.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from anycastle.cli.errors import Exit, Failure, nearest
from anycastle.model import codec

DATACENTRE_KINDS = ("node", "edge", "service")
SITE_KINDS = ("nat", "client")


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """place: datacentre or site, empty where neither. address: management address.

    ssh_key: path of the private key that logs in, relative to the checkout or absolute.
    host_key: the host's own, `ssh-ed25519 AAAA…`, when the inventory pins it.
    """

    name: str
    kind: str
    place: str | None = None
    netns: str
    address: str
    ssh_key: str
    user: str = "root"
    host_key: str | None = None

    @property
    def datacentre(self) -> str | None:
        return self.place or None if self.kind in DATACENTRE_KINDS else None

    @property
    def site(self) -> str | None:
        return self.place or None if self.kind in SITE_KINDS else None


def lab_directory(name: str, start: Path, environment: Mapping[str, str]) -> Path:
    """`.lab/NAME` beside the lab that the environment names, else upwards from `start`.

    Raises Failure when there is no such lab.
    """
    candidates = list(_roots(start, environment))
    for root in candidates:
        if (root / name).is_dir():
            return root / name
    known = [path.name for root in candidates if root.is_dir() for path in root.iterdir()]
    known = [
        name for name in known if any((root / name / "hosts.json").is_file() for root in candidates)
    ]
    raise Failure(
        Exit.NOT_FOUND,
        f"no lab {name!r} here{nearest(name, known)}: `make lab` in the checkout makes one "
        "(LAB or --lab names another)",
    )


def load(directory: Path) -> tuple[Host, ...]:
    """Raises Failure when the lab is not up or its inventory can't be read."""
    path = directory / "hosts.json"
    try:
        hosts = codec.from_json(path.read_bytes(), tuple[Host, ...])
    except FileNotFoundError:
        message = f"lab {directory.name!r} is not up (no {path}): run `make lab`"
        raise Failure(Exit.NOT_FOUND, message) from None
    except (OSError, codec.ModelError) as error:
        raise Failure(Exit.REFUSED, f"{path}: {error}; `make lab` writes it anew") from None
    return hosts


def find(hosts: tuple[Host, ...], name: str) -> Host:
    """Raises Failure with the nearest name when there is none."""
    for host in hosts:
        if host.name == name:
            return host
    hint = nearest(name, (host.name for host in hosts))
    raise Failure(Exit.NOT_FOUND, f"no host is called {name!r}{hint}: see `anycastle lab hosts`")


def _roots(start: Path, environment: Mapping[str, str]) -> Iterator[Path]:
    if sourced := environment.get("ANYCASTLE_LAB_DIR"):
        yield (start / sourced).parent
    for directory in (start, *start.parents):
        yield directory / ".lab"
