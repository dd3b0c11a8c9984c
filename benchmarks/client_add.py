"""From `client add` to every node's kernel: the API's call until the last device has the peer.

Watched on the nodes themselves (a shell loop over `wg show`, one per node, that prints a
time when the peer is there), because asking over SSH would measure SSH. All hosts of a
lab share the machine's clock, so times of different hosts compare.

Peer: a bare `wg set` of one peer on one node over a kept SSH connection, which is what
an operator without a control plane would do on each node in turn.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping

from anycastle.cli import keys
from anycastle.cli.api import Api
from anycastle.cli.client import enrol
from anycastle.model.codec import Key
from benchmarks.result import Result, quantile
from tests.support.lab import Lab

ROUNDS = 40
PEER_ROUNDS = 20
TARGET = 300.0
GIVE_UP = 10
# Prints the epoch time (ns) at which each key read from stdin is a peer of wg0.
WATCH = f"""
echo ready
while read -r key; do
  end=$(( $(date +%s) + {GIVE_UP} ))
  until wg show wg0 allowed-ips | grep -qF "$key"; do
    [ "$(date +%s)" -lt "$end" ] || break
  done
  date +%s%N
done
"""


def run(lab: Lab) -> Iterator[Result]:
    bare = [_bare_set(lab) for _ in range(PEER_ROUNDS)]
    watchers = {node: _watch(lab, node) for node in lab.nodes}
    try:
        with lab.api() as api:
            times = [_round(api, watchers, number) for number in range(ROUNDS)]
    finally:
        for watcher in watchers.values():
            watcher.kill()
            watcher.wait()
        _clean(lab)
    notes = f"{ROUNDS} clients, {len(lab.nodes)} nodes, {os.cpu_count()} cores"
    for share, label in ((0.5, "p50"), (0.99, "p99")):
        yield Result(
            benchmark=f"client_add.{label}",
            value=1000 * quantile(times, share),
            unit="ms",
            peer="wg set over SSH on one node",
            peer_value=1000 * quantile(bare, share),
            target=TARGET if label == "p99" else None,
            notes=notes,
        )


def _round(api: Api, watchers: Mapping[str, subprocess.Popen[str]], number: int) -> float:
    """Seconds from the start of the call to the last node."""
    private = keys.new_private_key()
    public = keys.public_key(private)
    for watcher in watchers.values():
        assert watcher.stdin is not None
        watcher.stdin.write(f"{public.text}\n")
        watcher.stdin.flush()
    time.sleep(0.05)
    began = time.time()
    enrol(api, f"bench-{os.getpid()}-{number}", public, (), "ipv4")
    arrived = []
    for watcher in watchers.values():
        assert watcher.stdout is not None
        arrived.append(int(watcher.stdout.readline()) / 1e9)
    took = max(arrived) - began
    if took > GIVE_UP - 1:
        raise TimeoutError(f"a node did not have the peer within {GIVE_UP} s")
    return took


def _watch(lab: Lab, node: str) -> subprocess.Popen[str]:
    command = lab.command(node, "sh", "-c", WATCH)
    watcher = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == "ready\n", f"{node}: no shell"
    return watcher


def _bare_set(lab: Lab) -> float:
    """Seconds for a stranger's peer on one node; removed at once."""
    node, key = lab.nodes[0], keys.public_key(Key(os.urandom(32))).text
    began = time.monotonic()
    lab.run(node, "wg", "set", "wg0", "peer", key)
    took = time.monotonic() - began
    lab.run(node, "wg", "set", "wg0", "peer", key, "remove")
    return took


def _clean(lab: Lab) -> None:
    with lab.api() as api:
        for view in lab.client_views():
            if view.name.startswith(f"bench-{os.getpid()}-"):
                api.delete("clients", view.name)
