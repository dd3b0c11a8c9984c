"""sd_notify(3): tells systemd that the service is ready or stopping."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> None:
    """state: e.g. `READY=1`. Does nothing when systemd did not start us."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    address = "\0" + path[1:] if path.startswith("@") else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.sendto(state.encode(), address)
