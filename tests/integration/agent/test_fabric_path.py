"""The inter-node path between two namespaces, over a plain link. Needs root."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from ipaddress import IPv4Address

import msgspec
import pytest
from pyroute2 import netns

from anycastle.agent import diff as diffing
from anycastle.agent.desired import Desired
from anycastle.agent.netlink.edge import NetworkState
from anycastle.agent.netlink.kernel import KernelNetwork
from anycastle.agent.observed import Observed
from anycastle.model.addresses import fabric_mac
from tests.support.fabric import with_peers

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


def _inside(space: str, work: Callable[[KernelNetwork], object]) -> None:
    """Call with an edge in the namespace, in a thread of its own (setns is per thread)."""

    def run() -> None:
        netns.setns(space)
        edge = KernelNetwork()
        try:
            work(edge)
        finally:
            edge.close()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()


def _fabric_operations(wanted: Desired, present: NetworkState) -> list[diffing.Operation]:
    operations = diffing.diff(wanted, Observed(None, present))
    return [one for one in operations if "fabric0" in str(one) or "10.64.0." in str(one)]


def _as_node(wanted: Desired, number: int) -> Desired:
    """The same for another node: its own end of the tunnel and its own addresses."""
    own = IPv4Address(f"10.64.0.{number}")
    tunnel = msgspec.structs.replace(wanted.fabric.tunnel, mac=fabric_mac(own), local=own)
    renamed = {
        msgspec.structs.replace(
            address,
            interface=type(address.interface)(
                str(address.interface)
                .replace("10.64.0.1/", f"10.64.0.{number}/")
                .replace("10.67.0.1/", f"10.67.0.{number}/")
                .replace("a40:1/", f"a40:{number}/")
            ),
        )
        for address in wanted.addresses
    }
    return msgspec.structs.replace(
        wanted,
        fabric=msgspec.structs.replace(wanted.fabric, tunnel=tunnel),
        addresses=frozenset(renamed),
    )


def _converge(wanted: Desired) -> Callable[[KernelNetwork], None]:
    def work(edge: KernelNetwork) -> None:
        for operation in _fabric_operations(wanted, edge.read(["wg0", "fabric0"], [])):
            edge.apply(operation)  # type: ignore[arg-type]

    return work


def _settled(wanted: Desired) -> Callable[[KernelNetwork], None]:
    def work(edge: KernelNetwork) -> None:
        names = [sysctl.name for sysctl in wanted.sysctls]
        present = edge.read(["wg0", "fabric0"], names)
        assert [str(one) for one in _fabric_operations(wanted, present)] == []

    return work


@pytest.fixture
def spaces() -> Iterator[tuple[str, str]]:
    first, second = (f"fab-{os.getpid()}-{side}" for side in "ab")
    with ExitStack() as stack:
        for space in (first, second):
            _run("ip", "netns", "add", space)
            stack.callback(_run, "ip", "netns", "del", space)
            _run("ip", "-n", space, "link", "set", "lo", "up")
        _run(
            "ip", "link", "add", "l0", "netns", first, "type", "veth", "peer", "l0", "netns", second
        )
        for number, space in enumerate((first, second), 1):
            _run("ip", "-n", space, "address", "add", f"10.65.0.{number}/24", "dev", "l0")
            _run("ip", "-n", space, "link", "set", "l0", "up")
            other = 3 - number
            _run("ip", "-n", space, "route", "add", f"10.64.0.{other}", "via", f"10.65.0.{other}")
        yield first, second


def _ping(space: str, address: str) -> int:
    command = ["ip", "netns", "exec", space, "ping", "-c", "2", "-i", "0.2", "-W", "1", address]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_two_nodes_reach_each_other_until_one_leaves(spaces: tuple[str, str]) -> None:
    first, second = spaces
    one, two = with_peers(2), _as_node(with_peers(1), 2)
    for space, wanted in ((first, one), (second, two)):
        _inside(space, _converge(wanted))
        _inside(space, _settled(wanted))
    assert _ping(first, "10.67.0.2") == 0
    assert _ping(first, "fd00:67::a40:2") == 0

    alone = with_peers()
    _inside(first, _converge(alone))
    _inside(first, _settled(alone))
    assert _ping(first, "10.67.0.2") != 0
    _inside(first, _converge(one))
    assert _ping(first, "10.67.0.2") == 0


def test_a_tunnel_with_another_number_is_made_anew(spaces: tuple[str, str]) -> None:
    first, _ = spaces
    for wanted in (with_peers(2), with_peers(2, vni=7), with_peers(2, vni=7, mtu=1400)):
        _inside(first, _converge(wanted))
        _inside(first, _settled(wanted))
