"""Is a deployment healthy after an `up`? Samples of `anycastle status --json` in, a verdict out. Pure.

```
SETTLING  --all healthy-->  BAKING  --bake time over-->  PASSED
    |  settle time over        |  ill for longer than `patience`
    +-----------> FAILED <-----+
```

Healthy: every node of the datacentre is UP, and announces where any of the datacentre does or did
(behind a load balancer none does); no other node that served before has ceased to; and the number of connected
clients has not fallen below a share of what it was before. The status itself has to answer. While a deployment settles it may be ill (nodes
drain and come back one after the other); while it bakes only as long as `patience`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import msgspec


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """What the gate reads of a node in `anycastle status --json`."""

    name: str
    datacentre: str
    state: str
    announcing: bool

    @property
    def up(self) -> bool:
        return self.state == "UP"


class Clients(msgspec.Struct, frozen=True, kw_only=True):
    connected: int


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A sample. Fields that the gate does not read are ignored."""

    nodes: tuple[Node, ...]
    clients: Clients


class Phase(enum.Enum):
    SETTLING = "settling"
    BAKING = "baking"
    PASSED = "passed"
    FAILED = "failed"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Times in seconds. fewest: the share of the clients before that has to be connected."""

    settle: float = 600
    bake: float = 900
    patience: float = 60
    fewest: float = 0.9


@dataclass(frozen=True)
class Gate:
    """datacentre: the one that was deployed, "" for all. before: the status before the `up`."""

    datacentre: str
    before: Status | None
    limits: Limits
    phase: Phase = Phase.SETTLING
    since: float = 0.0
    ill_since: float | None = None
    reasons: tuple[str, ...] = field(default=())

    @property
    def decided(self) -> bool:
        return self.phase in (Phase.PASSED, Phase.FAILED)


def begin(datacentre: str, before: Status | None, limits: Limits, now: float) -> Gate:
    return Gate(datacentre, before, limits, since=now)


def step(gate: Gate, sample: Status | str, now: float) -> Gate:
    """The gate after one sample; a text says why there is none."""
    reasons = tuple(ills(gate, sample))
    gate = replace(gate, reasons=reasons)
    if gate.phase is Phase.SETTLING:
        if not reasons:
            return replace(gate, phase=Phase.BAKING, since=now, ill_since=None)
        return _failed(gate) if now - gate.since >= gate.limits.settle else gate
    if gate.phase is Phase.BAKING:
        return _bake(gate, now)
    return gate


def _bake(gate: Gate, now: float) -> Gate:
    if not gate.reasons:
        over = now - gate.since >= gate.limits.bake
        return replace(gate, phase=Phase.PASSED if over else gate.phase, ill_since=None)
    since = now if gate.ill_since is None else gate.ill_since
    gate = replace(gate, ill_since=since)
    return _failed(gate) if now - since >= gate.limits.patience else gate


def _failed(gate: Gate) -> Gate:
    return replace(gate, phase=Phase.FAILED)


def ills(gate: Gate, sample: Status | str) -> Iterator[str]:
    """What is wrong at the moment."""
    if isinstance(sample, str):
        yield f"no status: {sample}"
        return
    mine = [node for node in sample.nodes if gate.datacentre in ("", node.datacentre)]
    if not mine:
        yield f"the control plane knows no node of {gate.datacentre or 'the deployment'}"
    announced = announcing(gate.before) | announcing(sample)
    for node in mine:
        if not node.up:
            yield f"{node.name} is {node.state}"
        elif not node.announcing and node.datacentre in announced:
            yield f"{node.name} does not announce"
    if gate.before is not None:
        yield from _worse(gate, gate.before, sample)


def announcing(status: Status | None) -> set[str]:
    """Datacentres of which a node announces."""
    return {node.datacentre for node in status.nodes if node.announcing} if status else set()


def _worse(gate: Gate, before: Status, now: Status) -> Iterator[str]:
    serving = {node.name: node for node in now.nodes if node.up}
    for node in before.nodes:
        if gate.datacentre in ("", node.datacentre) or not node.up:
            continue
        found = serving.get(node.name)
        if found is None or (node.announcing and not found.announcing):
            yield f"{node.name} of {node.datacentre} served before and does not now"
    fewest = before.clients.connected * gate.limits.fewest
    if now.clients.connected < fewest:
        yield (
            f"{now.clients.connected} clients are connected, {before.clients.connected} were before"
        )
