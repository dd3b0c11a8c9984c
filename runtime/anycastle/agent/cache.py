"""The last good state of the control feed, on disk: a node starts from it.

File: 8 bytes of magic with the format's version, SHA-256 of the document, then the
document: a MessagePack Snapshot with all later changes folded in. It is replaced as a
whole (temporary file, fsync, rename, fsync of the directory), so a crash leaves the old
one or the new one. Many changes in a row become one write.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

import structlog

from anycastle.agent.frames import Position
from anycastle.model import codec
from anycastle.model.client import Client
from anycastle.model.feed import Change, NodeOrder, Snapshot

MAGIC = b"ACFEED\x00\x01"
SETTLE = 1.0
"""Seconds from the first change that is not on disk to the write."""
SHARE = 20
"""Between two writes at least so many times the time of the last one passes."""

log = structlog.get_logger()


class CacheError(Exception):
    """The file is there and not usable. kept: where it was moved for people to look at."""

    def __init__(self, path: Path, reason: str, kept: Path | None = None) -> None:
        self.path = path
        self.reason = reason
        self.kept = kept
        where = f"; kept as {kept}" if kept else ""
        super().__init__(f"state file {path}: {reason}{where}")


def encode(snapshot: Snapshot) -> bytes:
    document = codec.to_msgpack(snapshot)
    return MAGIC + hashlib.sha256(document).digest() + document


def decode(path: Path, data: bytes, deployment: str) -> Snapshot:
    """Raises CacheError. path: for its message only."""
    magic, digest, document = data[:8], data[8:40], data[40:]
    if magic[:7] != MAGIC[:7]:
        raise CacheError(path, "this is no state file (or its beginning is damaged)")
    if magic != MAGIC:
        raise CacheError(path, f"its format is version {magic[7:].hex()}, we know 01")
    if hashlib.sha256(document).digest() != digest:
        raise CacheError(path, "its checksum is wrong: it was damaged or cut short")
    try:
        snapshot = codec.from_msgpack(document, Snapshot)
    except codec.ModelError as error:
        raise CacheError(path, f"its content can't be read: {error}") from None
    if snapshot.deployment != deployment:
        raise CacheError(path, f"it is of deployment {snapshot.deployment!r}, not {deployment!r}")
    return snapshot


def replace_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write a file as a whole or not at all, also when the machine crashes."""
    temporary = path.with_name(path.name + ".new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    temporary.rename(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


class Cache:
    """The folded state, in memory and (a little later) on disk."""

    def __init__(self, path: Path, deployment: str) -> None:
        self.path = path
        self._deployment = deployment
        self._clients: dict[str, Client] = {}
        self._orders: dict[str, NodeOrder] = {}
        self._position: Position | None = None
        self._written: Position | None = None
        self._dirty = asyncio.Event()
        self._writing = asyncio.Lock()
        self._file_lock = threading.Lock()

    @property
    def clients(self) -> Mapping[str, Client]:
        """By id; always the present state."""
        return MappingProxyType(self._clients)

    @property
    def orders(self) -> Mapping[str, NodeOrder]:
        """What operators want of nodes, by the node's name; always the present state."""
        return MappingProxyType(self._orders)

    @property
    def position(self) -> Position | None:
        return self._position

    def load(self) -> Snapshot | None:
        """What the disk has; None when there is no file.

        Raises CacheError for a bad file, after moving it aside so that the next write
        does not destroy the evidence.
        """
        try:
            snapshot = decode(self.path, self.path.read_bytes(), self._deployment)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise CacheError(self.path, f"can't be read: {error.strerror}") from error
        except CacheError as error:
            raise CacheError(self.path, error.reason, self._set_aside()) from None
        self._take(snapshot)
        self._written = self._position
        return snapshot

    def put(self, frame: Snapshot | Change) -> None:
        """Fold in a frame of the feed; it is written soon."""
        if isinstance(frame, Snapshot):
            self._take(frame)
        else:
            self._fold(frame)
        self._dirty.set()

    async def run(self) -> None:
        """Write when there is something new, until cancelled. A full disk is logged."""
        while True:
            await self._dirty.wait()
            await asyncio.sleep(SETTLE)
            started = time.monotonic()
            try:
                await self.flush()
            except OSError as error:
                log.warning("cache.write_failed", path=str(self.path), error=str(error))
                self._dirty.set()
            took = time.monotonic() - started
            await asyncio.sleep(took * SHARE)

    async def flush(self) -> None:
        """Write what is not on disk yet. Raises OSError."""
        async with self._writing:
            position = self._position
            self._dirty.clear()
            if position is None or position == self._written:
                return
            snapshot = self._snapshot(position)
            await asyncio.to_thread(self._write, snapshot)
            self._written = position

    def _write(self, snapshot: Snapshot) -> None:
        # A cancelled flush leaves its thread running; the next one waits for it here.
        with self._file_lock:
            replace_file(self.path, encode(snapshot))

    def _snapshot(self, position: Position) -> Snapshot:
        return Snapshot(
            deployment=self._deployment,
            epoch=position.epoch,
            revision=position.revision,
            clients=tuple(self._clients.values()),
            nodes=tuple(self._orders.values()),
        )

    def _take(self, snapshot: Snapshot) -> None:
        # In place: `clients` may be held by others.
        self._clients.clear()
        self._clients.update((client.id, client) for client in snapshot.clients)
        self._orders.clear()
        self._obey(snapshot.nodes)
        self._position = Position(snapshot.epoch, snapshot.revision)

    def _fold(self, change: Change) -> None:
        if self._position is None or self._position.revision != change.after:
            raise ValueError(f"change {change.after} -> {change.revision} at {self._position}")
        for client in change.put:
            self._clients[client.id] = client
        for identity in change.remove:
            self._clients.pop(identity, None)
        self._obey(change.nodes)
        self._position = self._position._replace(revision=change.revision)

    def _obey(self, orders: Iterable[NodeOrder]) -> None:
        for order in orders:
            self._orders.pop(order.name, None)
            if order.drain:
                self._orders[order.name] = order

    def _set_aside(self) -> Path | None:
        kept = self.path.with_name(self.path.name + ".corrupt")
        with contextlib.suppress(OSError):
            self.path.rename(kept)
            return kept
        return None
