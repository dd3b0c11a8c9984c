"""The last good state on disk: whole or refused, few writes, nothing lost."""

from __future__ import annotations

import asyncio
import hashlib
import stat
from ipaddress import ip_address
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from anycastle.agent import cache as module
from anycastle.agent.cache import Cache, CacheError, decode, encode
from anycastle.agent.frames import Position
from anycastle.model.client import Client, Credential
from anycastle.model.codec import Key
from anycastle.model.feed import Change, NodeOrder, Snapshot


def _client(number: int) -> Client:
    return Client(
        id=f"id-{number}",
        name=f"client-{number}",
        addresses=(ip_address("10.200.0.16") + number, ip_address("fd00:200::10") + number),
        credentials=(Credential(id="c", public_key=Key(number.to_bytes(32, "big"))),),
    )


SNAPSHOT = Snapshot(
    deployment="testing", epoch="e", revision=1, clients=tuple(_client(n) for n in range(3))
)


async def test_what_was_folded_is_what_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "feed.state"
    cache = Cache(path, "testing")
    assert cache.load() is None
    cache.put(SNAPSHOT)
    cache.put(Change(after=1, revision=2, reason="", put=(_client(7),), remove=("id-1",)))
    await cache.flush()
    again = Cache(path, "testing")
    loaded = again.load()
    assert loaded is not None
    assert again.position == Position("e", 2)
    assert set(again.clients) == {"id-0", "id-2", "id-7"}
    assert again.clients == cache.clients == {client.id: client for client in loaded.clients}
    # It holds pre-shared keys.
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]  # noqa: ASYNC240 - a test may block


async def test_a_thousand_changes_are_few_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE", 0.05)
    cache = Cache(tmp_path / "feed.state", "testing")
    writes: list[int] = []
    real = module.replace_file

    def counted(path: Path, data: bytes, mode: int = 0o600) -> None:
        writes.append(len(data))
        real(path, data, mode)

    monkeypatch.setattr(module, "replace_file", counted)
    task = asyncio.create_task(cache.run())
    cache.put(SNAPSHOT)
    for revision in range(2, 1002):
        change = Change(after=revision - 1, revision=revision, reason="", put=(_client(revision),))
        cache.put(change)
        if revision % 100 == 0:
            await asyncio.sleep(0.001)
    while cache._written != cache.position:  # noqa: ASYNC110 - what is on disk
        await asyncio.sleep(0.01)
    task.cancel()
    assert len(writes) <= 5
    again = Cache(cache.path, "testing")
    again.load()
    assert again.clients == cache.clients


async def test_a_change_that_does_not_follow_is_a_bug_of_ours(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "feed.state", "testing")
    cache.put(SNAPSHOT)
    with pytest.raises(ValueError, match="change 5 -> 6"):
        cache.put(Change(after=5, revision=6, reason=""))


GOOD = encode(SNAPSHOT)


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_any_damage_is_noticed_and_the_file_kept(tmp_path: Path, data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(GOOD) - 1))
    if data.draw(st.booleans(), label="cut short"):
        bad = GOOD[:position]
    else:
        flipped = GOOD[position] ^ data.draw(st.integers(1, 255))
        bad = GOOD[:position] + bytes([flipped]) + GOOD[position + 1 :]
    path = tmp_path / "feed.state"
    path.write_bytes(bad)
    with pytest.raises(CacheError) as caught:
        Cache(path, "testing").load()
    assert str(path) in str(caught.value)
    assert not path.exists()
    assert caught.value.kept is not None
    assert caught.value.kept.read_bytes() == bad


def test_another_deployments_file_is_refused() -> None:
    with pytest.raises(CacheError, match="of deployment 'testing', not 'other'"):
        decode(Path("x"), GOOD, "other")


async def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "feed.state"
    cache = Cache(path, "testing")
    cache.put(SNAPSHOT)
    await cache.flush()
    before = path.read_bytes()
    cache.put(Change(after=1, revision=2, reason="", remove=("id-0",)))
    (tmp_path / "feed.state.new").mkdir()  # in the way of the temporary file
    with pytest.raises(OSError, match="directory"):
        await cache.flush()
    assert path.read_bytes() == before
    (tmp_path / "feed.state.new").rmdir()
    await cache.flush()
    assert path.read_bytes() != before


ORDER = NodeOrder(name="ams-1", drain=True, since=1.5, deadline=601.5, reason="new disk")


async def test_orders_are_folded_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "feed.state"
    cache = Cache(path, "testing")
    cache.put(msgspec.structs.replace(SNAPSHOT, nodes=(ORDER,)))
    other = msgspec.structs.replace(ORDER, name="ams-2")
    cache.put(Change(after=1, revision=2, reason="", nodes=(other,)))
    await cache.flush()
    again = Cache(path, "testing")
    again.load()
    assert again.orders == {"ams-1": ORDER, "ams-2": other}
    longer = msgspec.structs.replace(ORDER, deadline=900.0)
    off = NodeOrder(name="ams-2", drain=False)
    again.put(Change(after=2, revision=3, reason="", nodes=(longer, off)))
    assert again.orders == {"ams-1": longer}
    again.put(SNAPSHOT)
    assert again.orders == {}


@pytest.mark.parametrize("change", ["nodes", "later"])
def test_a_file_of_another_version_is_good(tmp_path: Path, change: str) -> None:
    """An older one knew no orders; a later one may know what this one does not."""
    path = tmp_path / "feed.state"
    document = msgspec.msgpack.decode(encode(SNAPSHOT)[40:])
    if change == "nodes":
        del document["nodes"]
    else:
        document["later"] = [1, 2, 3]
    data = msgspec.msgpack.encode(document)
    path.write_bytes(module.MAGIC + hashlib.sha256(data).digest() + data)
    cache = Cache(path, "testing")
    assert cache.load() == SNAPSHOT
    assert cache.orders == {}
