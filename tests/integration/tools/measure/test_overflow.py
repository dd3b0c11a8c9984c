"""The kernel's own counters, for a socket that nobody reads. Needs root."""

from __future__ import annotations

import os
import socket

import pytest

from tests.support.namespaces import namespaces
from tools.measure import netns, overflow

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@pytest.mark.parametrize(("family", "address"), [("ip", "127.0.0.1"), ("ip6", "::1")])
def test_datagrams_that_nobody_read_in_time_are_counted(family: str, address: str) -> None:
    kind = socket.AF_INET if family == "ip" else socket.AF_INET6
    with namespaces("full", "idle") as (full, idle):
        full.run("ip link set lo up")
        names = (full.name, idle.name)
        before = overflow.counts(names)
        with netns.entered(full.name):
            deaf, sender = (socket.socket(kind, socket.SOCK_DGRAM) for _ in range(2))
        with deaf, sender:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            deaf.bind((address, 0))
            for _ in range(50):
                sender.sendto(bytes(1000), deaf.getsockname())
        after = overflow.counts(names)
    assert 40 <= after[full.name] - before[full.name] < 50
    assert after[idle.name] == before[idle.name]
    assert overflow.since(before, after) == after[full.name] - before[full.name]
