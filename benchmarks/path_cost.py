"""What a packet path costs a packet that comes in over a real device: nftables and BPF.

A client sends small data packets over a veth pair to a node's service port, where nobody
reads; sending one takes the sender through all that the node's kernel does with it. The
difference to a node without a packet path is the path's cost. The three take turns.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address

from anycastle.agent.takeover.choose import NoPath
from anycastle.agent.takeover.nft.path import NftPath
from anycastle.model.addresses import Endpoint
from benchmarks.result import Result, quantile
from tests.support.bpf_paths import bpf_paths
from tests.support.path_world import LOOPBACKS, PathWorld, client, data, path_world, response

BATCH, ROUNDS = 500, 60
CLIENTS = 10_000
"""Endpoints of other nodes' clients that are held meanwhile."""
OWN, FOREIGN, UNKNOWN = client(1), client(2), client(3)
CASES = {
    "own": (OWN, "data of a session of the node"),
    "foreign": (FOREIGN, "data of a client whose owner vanished, reported once a second"),
    "unknown": (UNKNOWN, "data from an endpoint that nobody owns"),
}


def run() -> Iterator[Result]:
    if os.geteuid() != 0:
        raise PermissionError("network namespaces are made: needs root")
    with ExitStack() as stack:
        make_bpf = stack.enter_context(bpf_paths(clients=CLIENTS))
        worlds = {
            "none": stack.enter_context(path_world(lambda _: NoPath("the peer"))),
            "bpf": stack.enter_context(path_world(make_bpf)),
            "nftables": stack.enter_context(path_world(NftPath.for_node)),
        }
        for world in worlds.values():
            _fill(world)
        for case, (source, notes) in CASES.items():
            times = _times({kind: world.sender(source) for kind, world in worlds.items()})
            for kind in ("bpf", "nftables"):
                yield Result(
                    benchmark=f"path_cost.{kind}.{case}",
                    value=times[kind],
                    unit="ns",
                    peer="a node without a packet path",
                    peer_value=times["none"],
                    notes=f"{notes}; sending and receiving a packet, lowest decile of {ROUNDS} "
                    f"times {BATCH} packets",
                )


def _fill(world: PathWorld) -> None:
    world.one.send(response(7, 99), OWN)
    relays = {
        Endpoint(IPv4Address(0x0B000000 + number), 40000): LOOPBACKS[1] for number in range(CLIENTS)
    }
    world.one.path.put_relays({**relays, FOREIGN: None})


def _times(senders: dict[str, Callable[[bytes], object]]) -> dict[str, float]:
    """Nanoseconds for a packet, by sender."""
    packet = data(7)
    found: dict[str, list[float]] = {kind: [] for kind in senders}
    for _ in range(ROUNDS):
        for kind, send in senders.items():
            started = time.perf_counter_ns()
            for _ in range(BATCH):
                send(packet)
            found[kind].append((time.perf_counter_ns() - started) / BATCH)
    return {kind: quantile(times, 0.1) for kind, times in found.items()}
