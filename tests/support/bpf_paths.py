"""BPF packet paths for tests: compiled when they are stale, pins of their own, nothing left."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from anycastle.agent.takeover.bpf import build, pins
from anycastle.agent.takeover.bpf.path import BpfPath
from anycastle.model.addresses import Endpoint
from anycastle.model.node import NodeSpec

CLIENTS = 4096

MakeBpfPath = Callable[[NodeSpec], BpfPath]


def copy_sources(folder: Path) -> Path:
    """A copy of the packet program's sources to play with; where its main file is."""
    (folder / build.HEADERS).mkdir(parents=True, exist_ok=True)
    for path in build.sources():
        shutil.copy(path, folder / path.relative_to(build.SOURCE.parent))
    return folder / build.SOURCE.name


@contextmanager
def bpf_paths(clients: int = CLIENTS) -> Iterator[MakeBpfPath]:
    """Makes the path of a node: one that is made again finds its pins, as after a restart."""
    build.compile_in_place()
    root = Path("/run", f"anycastle-test-{secrets.token_hex(3)}")

    def make(spec: NodeSpec) -> BpfPath:
        services = [Endpoint(address, spec.anycast.port) for address in spec.anycast.addresses]
        directory = root / str(spec.loopbacks.v4)
        return BpfPath(services, spec.loopbacks.v4, directory=directory, clients=clients)

    try:
        yield make
    finally:
        for directory in root.glob("*"):
            for path in directory.glob("*-*"):
                pins.remove(path)
            pins.unmount(directory)
            directory.rmdir()
        if root.exists():
            root.rmdir()
