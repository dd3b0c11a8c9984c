"""Carries operations out, and tells what is true afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import msgspec

from anycastle.agent.desired import Desired
from anycastle.agent.diff import Operation, diff
from anycastle.agent.netlink.edge import (
    NetworkEdge,
    NetworkError,
    NetworkOperation,
    NetworkRemoval,
    SetLink,
    WriteSysctl,
)
from anycastle.agent.observed import observe
from anycastle.agent.wireguard.edge import (
    DeviceOperation,
    EnsureDevice,
    Initiate,
    PutPeer,
    Quiet,
    RemovePeer,
    SetDevice,
    WireGuardEdge,
    WireGuardError,
)

_DEVICE_OPERATIONS = (SetDevice, PutPeer, RemovePeer, Initiate, Quiet)


class Failure(msgspec.Struct, frozen=True):
    """An operation that was not carried out, and why."""

    operation: Operation
    reason: str

    def __str__(self) -> str:
        return f"{self.operation}: {self.reason}"


class ApplyResult(msgspec.Struct, frozen=True):
    """done: in the kernel now. failed: not, and the node can't do its work without.

    refused: settings that this host does not let us change and that are only nice
    to have. duration: seconds.
    """

    done: tuple[Operation, ...]
    failed: tuple[Failure, ...]
    refused: tuple[Failure, ...]
    duration: float

    @property
    def complete(self) -> bool:
        return not self.failed


def reconcile(
    desired: Desired,
    wireguard: WireGuardEdge,
    network: NetworkEdge,
    clock: Callable[[], float] = time.monotonic,
) -> ApplyResult:
    """Read, compare, and carry out what differs. Raises what reading raises."""
    operations = diff(desired, observe(desired, wireguard, network))
    return apply(operations, wireguard, network, clock)


def apply(
    operations: Sequence[Operation],
    wireguard: WireGuardEdge,
    network: NetworkEdge,
    clock: Callable[[], float] = time.monotonic,
) -> ApplyResult:
    """Carry out in order, going on after a failure where that can do no harm.

    Without the device nothing that needs it is tried. What a failed addition was to
    replace stays: nothing of the network is removed after one. Peers are removed
    whatever else failed. Never raises for an operation that fails.
    """
    started = clock()
    run = _Run(wireguard, network)
    for batch in _batches(operations):
        run.carry_out(batch)
    return ApplyResult(tuple(run.done), tuple(run.failed), tuple(run.refused), clock() - started)


def _batches(operations: Sequence[Operation]) -> Iterator[list[Operation]]:
    """Neighbouring operations on the WireGuard device together, others alone."""
    for of_device, group in groupby(
        operations, lambda operation: isinstance(operation, _DEVICE_OPERATIONS)
    ):
        if of_device:
            yield list(group)
        else:
            yield from ([operation] for operation in group)


class _Run:
    """One application under way."""

    def __init__(self, wireguard: WireGuardEdge, network: NetworkEdge) -> None:
        self._wireguard = wireguard
        self._network = network
        self._no_device = ""
        self._addition_failed = False
        self.done: list[Operation] = []
        self.failed: list[Failure] = []
        self.refused: list[Failure] = []

    def carry_out(self, batch: list[Operation]) -> None:
        first = batch[0]
        if isinstance(first, EnsureDevice):
            self._ensure(first)
        elif isinstance(first, _DEVICE_OPERATIONS):
            self._set([one for one in batch if isinstance(one, _DEVICE_OPERATIONS)])
        else:
            self._change_network(first)

    def _ensure(self, operation: EnsureDevice) -> None:
        try:
            self._wireguard.ensure()
        except WireGuardError as error:
            self._no_device = f"not tried: {operation.device} can't be made"
            self.failed.append(Failure(operation, str(error)))
        else:
            self.done.append(operation)

    def _set(self, batch: list[DeviceOperation]) -> None:
        """All at once; after an error one by one, so that one bad peer stops no other."""
        if self._no_device:
            self.failed += (Failure(operation, self._no_device) for operation in batch)
            return
        try:
            self._wireguard.set(batch)
        except WireGuardError as error:
            if len(batch) == 1:
                self.failed.append(Failure(batch[0], str(error)))
                return
            for operation in batch:
                self._set([operation])
        else:
            self.done += batch

    def _change_network(self, operation: NetworkOperation) -> None:
        removal = isinstance(operation, NetworkRemoval)
        if reason := self._obstacle(operation, removal=removal):
            self.failed.append(Failure(operation, reason))
            return
        try:
            self._network.apply(operation)
        except NetworkError as error:
            self._note_failure(Failure(operation, str(error)), removal=removal)
        else:
            self.done.append(operation)

    def _obstacle(self, operation: NetworkOperation, *, removal: bool) -> str:
        if self._no_device and isinstance(operation, SetLink):
            return self._no_device
        if removal and self._addition_failed:
            return "not tried: an addition failed, and this may be what it was to replace"
        return ""

    def _note_failure(self, failure: Failure, *, removal: bool) -> None:
        if isinstance(failure.operation, WriteSysctl) and not failure.operation.sysctl.required:
            self.refused.append(failure)
            return
        self.failed.append(failure)
        self._addition_failed |= not removal
