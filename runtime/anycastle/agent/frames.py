"""The control feed's frames and their order (pure).

A frame is its length (u32, big endian) and a MessagePack document. A change applies to
exactly the revision before it; `follow` holds the feed to that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from anycastle.model import codec
from anycastle.model.feed import MAX_FRAME, Change, Frame, Snapshot


class Position(NamedTuple):
    """How far an agent is. A revision means something within its epoch only."""

    epoch: str
    revision: int


class FeedError(Exception):
    """The control plane sent what it must not; the agent starts again with a snapshot."""


class Reader:
    """Bytes in, frames out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that `data` completes. Raises FeedError."""
        self._buffer += data
        while (frame := self._next()) is not None:
            yield frame

    def _next(self) -> Frame | None:
        if len(self._buffer) < 4:
            return None
        length = int.from_bytes(self._buffer[:4], "big")
        if length > MAX_FRAME:
            raise FeedError(f"a frame of {length} bytes is longer than any can be")
        if len(self._buffer) < 4 + length:
            return None
        document = bytes(self._buffer[4 : 4 + length])
        del self._buffer[: 4 + length]
        try:
            return codec.from_msgpack(document, Frame)  # type: ignore[arg-type]
        except codec.ModelError as error:
            raise FeedError(f"a frame can't be read: {error}") from None


def follow(position: Position | None, frame: Frame) -> Position:
    """Where the agent is after `frame`. Raises FeedError when it does not follow."""
    if isinstance(frame, Snapshot):
        return Position(frame.epoch, frame.revision)
    if position is None:
        raise FeedError("the feed did not start with a snapshot")
    if isinstance(frame, Change):
        if frame.after != position.revision or frame.revision <= frame.after:
            raise FeedError(
                f"change {frame.after} -> {frame.revision} does not follow {position.revision}"
            )
        return position._replace(revision=frame.revision)
    # What is left is a heartbeat.
    if frame.revision != position.revision:
        raise FeedError(f"the feed is at {frame.revision}, this node at {position.revision}")
    return position
