"""Frames come out whole however the bytes come in, and only in order."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.frames import FeedError, Position, Reader, follow
from anycastle.model import codec
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key
from anycastle.model.feed import MAX_FRAME, Change, Frame, Heartbeat, Snapshot

_keys = st.binary(min_size=32, max_size=32).map(Key)
_credentials = st.builds(
    Credential,
    id=st.text(max_size=8),
    public_key=_keys,
    preshared_key=st.none() | _keys,
    not_after=st.none() | st.floats(0, 1e10),
)
_clients = st.builds(
    Client,
    id=st.text(max_size=8),
    name=st.text(max_size=8),
    addresses=st.lists(st.ip_addresses(), max_size=2).map(tuple),
    credentials=st.lists(_credentials, max_size=2).map(tuple),
)
_several = st.lists(_clients, max_size=3).map(tuple)
_revisions = st.integers(0, 2**62)
_frames: st.SearchStrategy[Frame] = st.one_of(
    st.builds(
        Snapshot, deployment=st.text(), epoch=st.text(), revision=_revisions, clients=_several
    ),
    st.builds(
        Change,
        after=_revisions,
        revision=_revisions,
        reason=st.text(),
        put=_several,
        remove=st.lists(st.text(max_size=8), max_size=2).map(tuple),
    ),
    st.builds(Heartbeat, revision=_revisions, at=st.floats(0, 1e10)),
)


def _wire(frame: Frame) -> bytes:
    document = codec.to_msgpack(frame)
    return len(document).to_bytes(4, "big") + document


@given(st.lists(_frames, max_size=4), st.lists(st.integers(1, 200), min_size=1))
def test_frames_survive_any_cutting_of_the_stream(frames: list[Frame], sizes: list[int]) -> None:
    data = b"".join(_wire(frame) for frame in frames)
    reader, seen, start = Reader(), [], 0
    for turn in range(len(data)):
        size = sizes[turn % len(sizes)]
        seen += list(reader.feed(data[start : start + size]))
        start += size
        if start >= len(data):
            break
    assert seen == frames


@given(st.binary(min_size=1, max_size=64))
def test_rubbish_is_an_error_or_an_unfinished_frame(data: bytes) -> None:
    reader = Reader()
    try:
        for frame in reader.feed(data):
            assert isinstance(frame, Snapshot | Change | Heartbeat)
    except FeedError as error:
        assert "frame" in str(error)  # noqa: PT017 - it may as well not raise


def test_a_frame_that_is_too_long_is_refused_before_it_is_collected() -> None:
    with pytest.raises(FeedError, match="longer than any can be"):
        list(Reader().feed((MAX_FRAME + 1).to_bytes(4, "big")))


SNAPSHOT = Snapshot(deployment="d", epoch="e", revision=5, clients=())
AT_5 = Position("e", 5)


@pytest.mark.parametrize(
    ("position", "frame", "expected"),
    [
        (None, SNAPSHOT, AT_5),
        (Position("old", 9), SNAPSHOT, AT_5),
        (AT_5, Change(after=5, revision=6, reason=""), Position("e", 6)),
        (AT_5, Heartbeat(revision=5, at=0.0), AT_5),
    ],
)
def test_what_follows(position: Position | None, frame: Frame, expected: Position) -> None:
    assert follow(position, frame) == expected


@pytest.mark.parametrize(
    ("position", "frame"),
    [
        (None, Change(after=0, revision=1, reason="")),
        (None, Heartbeat(revision=0, at=0.0)),
        (AT_5, Change(after=4, revision=5, reason="")),
        (AT_5, Change(after=6, revision=7, reason="")),
        (AT_5, Change(after=5, revision=5, reason="")),
        (AT_5, Heartbeat(revision=6, at=0.0)),
        (AT_5, Heartbeat(revision=4, at=0.0)),
    ],
)
def test_what_does_not_follow(position: Position | None, frame: Frame) -> None:
    with pytest.raises(FeedError):
        follow(position, frame)
