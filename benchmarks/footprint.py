"""What an idle agent takes: memory and a core's share, worst node of the lab.

Read from /proc of the node (proc(5)): PSS of the whole process, and user plus system
time over half a minute. Peer: the routing daemon beside it on the same node.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.result import Result
from tests.support.lab import Lab

WINDOW = 30.0
MEMORY_TARGET = 80.0
CPU_TARGET = 2.0
# For each unit: its processes' PSS in KiB and their time in clock ticks.
MEASURE = """
hz=$(getconf CLK_TCK)
for unit in anycastle-agent $1; do
  memory=0 ticks=0
  for pid in $(cat /sys/fs/cgroup/system.slice/$unit.service/cgroup.procs); do
    pss=$(sed -n 's/^Pss: *\\([0-9]*\\) kB/\\1/p' /proc/$pid/smaps_rollup)
    used=$(sed 's/.*) //' /proc/$pid/stat | { read -r a b c d e f g h i j k u s rest; echo $((u + s)); })
    memory=$((memory + pss)) ticks=$((ticks + used))
  done
  echo "$memory $ticks $hz"
done
"""


@dataclass(frozen=True)
class Sample:
    """memory: MiB of PSS. busy: seconds of CPU time since start."""

    memory: float
    busy: float


def run(lab: Lab) -> Iterator[Result]:
    daemons = {node: lab.routing_of(node) for node in lab.nodes}
    first = {node: _measure(lab, node, daemon) for node, daemon in daemons.items()}
    began = time.monotonic()
    time.sleep(WINDOW)
    elapsed = time.monotonic() - began
    last = {node: _measure(lab, node, daemon) for node, daemon in daemons.items()}
    for daemon in sorted(set(daemons.values())):
        nodes = [node for node in lab.nodes if daemons[node] == daemon]
        memory = max(nodes, key=lambda node: last[node][0].memory)
        yield Result(
            benchmark=f"agent.memory.{daemon}",
            value=last[memory][0].memory,
            unit="MiB",
            peer=daemon,
            peer_value=last[memory][1].memory,
            target=MEMORY_TARGET,
            notes=f"PSS on {memory}",
        )
        shares = {
            node: [100 * (b.busy - a.busy) / elapsed
                   for a, b in zip(first[node], last[node], strict=True)]
            for node in nodes
        }  # fmt: skip
        busiest = max(nodes, key=lambda node: shares[node][0])
        yield Result(
            benchmark=f"agent.cpu_idle.{daemon}",
            value=shares[busiest][0],
            unit="% of a core",
            peer=daemon,
            peer_value=shares[busiest][1],
            target=CPU_TARGET,
            notes=f"{elapsed:.0f} s on {busiest}, {len(lab.clients)} clients",
        )


def _measure(lab: Lab, node: str, daemon: str) -> tuple[Sample, Sample]:
    lines = lab.run(node, "sh", "-euc", MEASURE, "sh", daemon).split("\n")
    agent, routing = (
        Sample(int(memory) / 1024, int(ticks) / int(hz))
        for memory, ticks, hz in (line.split() for line in lines[:2])
    )
    return agent, routing
