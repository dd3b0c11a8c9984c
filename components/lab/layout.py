"""Names and paths of what a lab makes on the machine.

```
.lab/LAB/hosts/HOST/host.json   what the host is (HostRecord), so it can be started again
                   /disk.json   what its disk is (DiskRecord)
                   /upper,work  its disk: the writable layers of the overlay
                   /root        where its own mount namespace mounts that overlay
                   /console.log what its boot printed
.lab/LAB/links/LINK.json        what the link is (world.Link)
/run/netns/ac-LAB-HOST          its network namespace
<cgroup2>/anycastle/LAB/HOST    all of its processes
acbr-INDEX, acINDEX-NUMBER      management bridge and its ports, in the root namespace
```
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
MANAGEMENT_DEVICE = "mgmt0"
_LAB_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


@dataclass(frozen=True)
class Layout:
    """Where one lab keeps what. directory: absolute."""

    lab: str
    directory: Path

    def __post_init__(self) -> None:
        if not _LAB_NAME.fullmatch(self.lab):
            raise ValueError(
                f"{self.lab!r} is no name for a lab: up to 31 of a-z, 0-9 and -, no - in front"
            )

    @classmethod
    def of(cls, lab: str) -> Layout:
        """The lab's place in this checkout, or where the environment says."""
        chosen = os.environ.get("ANYCASTLE_LAB_DIR", "")
        if Path(chosen).name == lab:
            return cls(lab, CHECKOUT / chosen)
        return cls(lab, CHECKOUT / ".lab" / lab)

    @property
    def hosts(self) -> Path:
        return self.directory / "hosts"

    @property
    def links(self) -> Path:
        return self.directory / "links"

    def host(self, host: str) -> Path:
        return self.hosts / host

    def record(self, host: str) -> Path:
        return self.host(host) / "host.json"

    def disk(self, host: str) -> Path:
        return self.host(host) / "disk.json"

    def upper(self, host: str) -> Path:
        return self.host(host) / "upper"

    def console(self, host: str) -> Path:
        return self.host(host) / "console.log"

    def link(self, link: str) -> Path:
        return self.links / f"{link}.json"

    def netns(self, host: str) -> str:
        return f"ac-{self.lab}-{host}"

    @property
    def key_file(self) -> Path:
        """The private key that logs in on every host (made before the lab)."""
        return self.directory / "ssh" / "id_ed25519"


@dataclass(frozen=True)
class Management:
    """The lab's management network. index: 0 to 255, unlike that of any other lab."""

    index: int

    @property
    def network(self) -> IPv4Network:
        return IPv4Network((0x0AD50000 + (self.index << 8), 24))

    @property
    def bridge(self) -> str:
        return f"acbr-{self.index}"

    @property
    def gateway(self) -> IPv4Interface:
        """The machine's own address on the bridge."""
        return self.interface(1)

    def interface(self, number: int) -> IPv4Interface:
        return IPv4Interface(f"{self.address(number)}/24")

    def address(self, number: int) -> IPv4Address:
        return self.network.network_address + number

    def port(self, number: int) -> str:
        """The bridge's port that host `number` hangs on."""
        return f"ac{self.index}-{number}"
