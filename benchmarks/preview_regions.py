"""A preview of a deployment of four AWS regions with 50 nodes each, without a cloud account.

A region is a stack, so there are four previews; each sees the whole deployment of 200 nodes. They are
measured one by one, and all of them with TOGETHER at a time, as a pull request's checks run them. Peer:
a program with as many plain resources and nothing else, under the same CLI and the same preview-only
plugins, in the same numbers at a time: what Pulumi itself costs.
"""

from __future__ import annotations

import copy
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.result import Result, quantile
from tools.preview import rehearsal, workspace
from tools.preview.engine import Pulumi
from tools.preview.rehearsal import Rehearsal, Scene
from tools.preview.summary import Preview
from tools.provision import result
from tools.provision.result import Setup

REGIONS = ("eu-west-1", "us-east-1", "ap-southeast-1", "sa-east-1")
NODES = 50
TARGET = 15.0
TOGETHER = 2
"""Previews at a time, when all are made."""
STACKS = tuple(f"aws-{region}" for region in REGIONS)
TEMPLATE, SHARED = "aws-eu-west-1", "global"
PLAIN = """\
import pulumi
import pulumi_aws as aws
for number in range({count}):
    aws.ec2.Eip(f"plain{{number}}", domain="vpc", tags={{"Name": f"plain{{number}}"}})
"""
SAMPLE_SECONDS = 0.05


def documents(shared: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """The files of a deployment with these regions, made from the shipped ones."""
    whole = copy.deepcopy(dict(shared))
    deployment = whole["config"]["anycastle:deployment"]
    deployment["loopbacks"] = {"v4": "10.64.0.0/23", "v6": "fd00:64::/64"}
    found = {SHARED: whole}
    for index, region in enumerate(REGIONS):
        found[f"aws-{region}"] = region_document(template, region, index)
    return found


def region_document(template: Mapping[str, Any], region: str, index: int) -> dict[str, Any]:
    made = copy.deepcopy(dict(template))
    datacentre = made["config"]["anycastle:datacentre"]
    zones = [f"{region}{letter}" for letter in "abc"]
    datacentre["name"] = region
    datacentre["aws"] |= {"region": region, "network": f"10.{100 + index}.0.0/16", "zones": zones}
    datacentre.pop("services", None)
    datacentre["nodes"] = [
        {
            "name": f"{region}-{number}",
            "id": index * NODES + number,
            "zone": zones[number % len(zones)],
        }
        for number in range(1, NODES + 1)
    ]
    return made


@dataclass
class Memory:
    """The largest resident set, in bytes, of a language host's Python."""

    peak: int = 0


@contextmanager
def watched(place: workspace.Workspace) -> Iterator[Memory]:
    """Samples the program's process while the block runs; the kernel keeps its high-water mark."""
    memory, over = Memory(), threading.Event()

    def sample() -> None:
        while not over.wait(SAMPLE_SECONDS):
            for process in Path("/proc").iterdir():
                if process.name.isdigit() and is_program(process, place):
                    memory.peak = max(memory.peak, high_water(process))

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()


def is_program(process: Path, place: workspace.Workspace) -> bool:
    """Whether it is the program's process, and of a pulumi in this workspace."""
    try:
        command = (process / "cmdline").read_bytes()
        ours = str(place.home).encode() in (process / "environ").read_bytes()
    except OSError:
        return False
    return ours and b"pulumi-language-python-exec" in command


def high_water(process: Path) -> int:
    try:
        lines = (process / "status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


@dataclass(frozen=True)
class Run:
    """bare, checked: seconds without and with the policy pack. memory: bytes."""

    bare: float
    checked: float
    resources: int
    memory: int


def measured(work: Pulumi, stack: str) -> Run:
    with watched(work.place) as memory:
        bare = succeeded(work.preview(stack, policy=False))
    checked = succeeded(work.preview(stack))
    return Run(bare.seconds, checked.seconds, len(bare.steps), memory.peak)


def succeeded(found: Preview) -> Preview:
    if found.errors:
        raise RuntimeError(f"the preview of {found.stack} failed: {found.errors[0]}")
    return found


@contextmanager
def plain(setup: Setup, count: int) -> Iterator[Pulumi]:
    """A pulumi that is ready to preview `plain`, a stack of `count` plain resources."""
    with workspace.temporary() as place, tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "Pulumi.yaml").write_text("name: anycastle\nruntime: python\n")
        (Path(folder) / "__main__.py").write_text(PLAIN.format(count=count))
        work = Pulumi(place, setup, Path(folder))
        work.configure("plain", {"config": {"aws:region": REGIONS[0]}})
        yield work


def alone(work: Pulumi) -> tuple[float, int]:
    """(seconds, bytes) of the plain program."""
    with watched(work.place) as memory:
        seconds = succeeded(work.preview("plain", policy=False)).seconds
    return seconds, memory.peak


def together(previews: Sequence[Callable[[], Preview]]) -> float:
    """Seconds until all are done, TOGETHER at a time."""
    began = time.monotonic()
    with ThreadPoolExecutor(TOGETHER) as threads:
        for found in threads.map(lambda preview: preview(), previews):
            succeeded(found)
    return time.monotonic() - began


def all_regions(work: Rehearsal) -> float:
    with ExitStack() as stack:
        ready = [(stack.enter_context(work.staged(name)), name) for name in STACKS]
        return together([partial(pulumi.preview, name, policy=False) for pulumi, name in ready])


def all_plain(setup: Setup, count: int) -> float:
    with ExitStack() as stack:
        ready = [stack.enter_context(plain(setup, count)) for _ in STACKS]
        return together([partial(pulumi.preview, "plain", policy=False) for pulumi in ready])


def run() -> Iterator[Result]:
    setup, shipped = result.read(), rehearsal.documents()
    work = Rehearsal(setup, Scene(documents(shipped[SHARED], shipped[TEMPLATE])))
    runs = []
    for name in STACKS:
        with work.staged(name) as pulumi:
            runs.append(measured(pulumi, name))
    resources = runs[0].resources
    with plain(setup, resources) as bare:
        peer_seconds, peer_memory = alone(bare)
    peer = f"a program with {resources} plain resources"
    notes = f"{len(REGIONS)} regions of {NODES} nodes, {resources} resources each"
    yield Result(
        benchmark="preview_regions.region", value=quantile([one.bare for one in runs], 0.5),
        unit="s", peer=peer, peer_value=peer_seconds, target=TARGET, notes=f"median; {notes}",
    )  # fmt: skip
    yield Result(
        benchmark="preview_regions.all", value=all_regions(work), unit="s",
        peer=f"{len(REGIONS)} times {peer}", peer_value=all_plain(setup, resources), target=TARGET,
        notes=f"{TOGETHER} at a time; {notes}",
    )  # fmt: skip
    yield Result(
        benchmark="preview_regions.policy", value=quantile([one.checked for one in runs], 0.5),
        unit="s", peer="the same preview without the policy pack",
        peer_value=quantile([one.bare for one in runs], 0.5), notes=f"median; {notes}",
    )  # fmt: skip
    yield Result(
        benchmark="preview_regions.memory", value=max(one.memory for one in runs) / 2**20,
        unit="MiB", peer=peer, peer_value=peer_memory / 2**20, notes="resident, of the program",
    )  # fmt: skip
