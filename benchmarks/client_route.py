"""A client's route from one node's agent to a third node's kernel, on BIRD and on FRR.

Three nodes of one daemon each in network namespaces (tests/support/bgp_world.py); node 1's
speaker announces, and node 3's kernel is watched by `ip -ts monitor`. All share the
machine's clock. Both daemons carry each route over the same three hops: agent to daemon,
daemon to daemon, daemon to kernel.

Peers: for BIRD a static route added by `birdc configure`, which is what one would do
without a speaker; for FRR, BIRD.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from ipaddress import IPv4Address
from pathlib import Path

from anycastle.model.deployment import Routing
from benchmarks.result import Result, quantile
from tests.support.bgp_node import Node, Speaker
from tests.support.bgp_world import World, birdc, world
from tests.support.waiting import wait_for

ROUNDS, PEER_ROUNDS = 40, 20
BULK = 10_000
PAUSE = 0.1
"""Seconds between two routes: longer than any queue holds one back."""
FIRST = IPv4Address("10.201.0.0")


def run() -> Iterator[Result]:
    bird, bird_bulk, static = _measure(Routing.BIRD)
    frr, frr_bulk, _ = _measure(Routing.FRR)
    peer = "a static route by `birdc configure`, to the third node's kernel"
    notes = f"3 nodes, {ROUNDS} routes one by one"
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        of_bird = quantile(bird, share)
        yield _result(f"client_route.bird.{name}", of_bird, peer, quantile(static, share), notes)
        of_frr = quantile(frr, share)
        yield _result(f"client_route.frr.{name}", of_frr, "the same on BIRD", of_bird, notes)
    notes = f"{BULK} routes at once, to the last one"
    one_by_one = BULK * quantile(static, 0.5)
    peer = f"{BULK} static routes, one `birdc configure` each"
    yield _result("client_route.bird.bulk", bird_bulk, peer, one_by_one, notes)
    yield _result("client_route.frr.bulk", frr_bulk, "the same on BIRD", bird_bulk, notes)


def _result(name: str, value: float, peer: str, peer_value: float, notes: str) -> Result:
    return Result(
        benchmark=name,
        value=value * 1000,
        unit="ms",
        peer=peer,
        peer_value=peer_value * 1000,
        notes=notes,
    )


def _measure(routing: Routing) -> tuple[list[float], float, list[float]]:
    """(seconds of single routes, of the bulk, of `birdc configure`; empty with FRR)."""
    with tempfile.TemporaryDirectory() as folder, world(Path(folder), [routing] * 3) as made:
        speaker, *_ = made.speak()
        singles = [_single(made, speaker, number) for number in range(ROUNDS)]
        bulk = _bulk(made, speaker)
        # Last: it changes node 1's configuration behind its driver's back.
        statics = _statics(made) if routing is Routing.BIRD else []
    return singles, bulk, statics


def _single(made: World, speaker: Speaker, number: int) -> float:
    address = str(FIRST + number)
    time.sleep(PAUSE)
    with _monitor(made.nodes[2]) as lines:
        began = time.time()
        speaker.tell(clients=[[f"{address}/32", "203.0.113.1:4500", began]])
        return _when(lines, address) - began


def _bulk(made: World, speaker: Speaker) -> float:
    third = made.nodes[2]
    wanted = third.count("fabric0") + BULK
    began = time.monotonic()
    speaker.tell(bulk=[2 * 65536, BULK])
    wait_for("all routes", lambda: third.count("fabric0") >= wanted, 120, every=0.02)
    return time.monotonic() - began


def _statics(made: World) -> list[float]:
    node = made.nodes[0]
    config = node.folder / "bird.conf"
    # Static routes of the operator's own, allowed where the agent's are.
    text = config.read_text().replace(
        'if proto = "agent-client"', 'if (proto = "agent-client" || proto = "statics")'
    )
    return [_static(made, config, text, number) for number in range(PEER_ROUNDS)]


def _static(made: World, config: Path, text: str, number: int) -> float:
    """Add static route `number` to those before it."""
    addresses = [str(FIRST + 0x1000 + each) for each in range(number + 1)]
    routes = " ".join(f"route {address}/32 via 10.200.0.2;" for address in addresses)
    time.sleep(PAUSE)
    with _monitor(made.nodes[2]) as lines:
        began = time.time()
        config.write_text(f"{text}protocol static statics {{ ipv4; {routes} }}\n")
        birdc(config.with_name("bird.ctl"), "configure")
        return _when(lines, addresses[-1]) - began


@contextmanager
def _monitor(node: Node) -> Iterator[Iterator[str]]:
    """Lines of `ip -ts monitor route` in a node's namespace."""
    process = subprocess.Popen(
        ["ip", "-n", node.space.name, "-ts", "monitor", "route"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        time.sleep(0.05)
        assert process.stdout is not None
        yield iter(process.stdout)
    finally:
        process.kill()
        process.communicate()


def _when(lines: Iterator[str], address: str) -> float:
    """Epoch time at which the kernel got the route to `address`."""
    for line in lines:
        stamp, _, text = line.partition("] ")
        if text.startswith(f"{address} "):
            return datetime.fromisoformat(stamp.strip("[")).timestamp()
    raise AssertionError("ip monitor ended")
