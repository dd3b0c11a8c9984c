"""cloud-init's part of a host: log-in, host key, packages. Everything else is bootstrap's. Pure.

User data is no place for secrets: whoever may describe an instance, or run a process on
it, can read it. It holds the public half of the log-in key and the name of a secret.
"""

from __future__ import annotations

import json
from pathlib import Path

HOST_KEY_SCRIPT = (Path(__file__).parent / "files" / "host_key.py").read_text()

NODE_PACKAGES = (
    "bird2",
    "chrony",
    "conntrack",
    "ethtool",
    "frr",
    "frr-pythontools",
    "jq",
    "libbpf1",
    "nftables",
    "python3-venv",
    "tcpdump",
    "wireguard-tools",
)
CONTROL_PACKAGES = ("chrony", "curl", "jq", "postgresql-client", "python3-venv")
"""Beside what Debian's own cloud image has."""


def user_data(
    host: str, public_key: str, host_key_secret: str, region: str, packages: tuple[str, ...]
) -> str:
    """The `#cloud-config` of a host (JSON, which is YAML, too)."""
    fetch = ["python3", "-c", HOST_KEY_SCRIPT, host_key_secret, region]
    document = {
        "hostname": host,
        "preserve_hostname": False,
        "disable_root": False,
        "ssh_pwauth": False,
        "ssh_authorized_keys": [public_key],
        # sshd starts after bootcmd, and so with this key and no other.
        "ssh_deletekeys": True,
        "ssh_genkeytypes": [],
        "bootcmd": [["cloud-init-per", "instance", "host-key", *fetch]],
        "package_update": True,
        "packages": list(packages),
    }
    return "#cloud-config\n" + json.dumps(document, indent=1) + "\n"
