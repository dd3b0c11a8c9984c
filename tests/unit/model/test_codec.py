"""The codec: what goes in comes out, in each form; errors say where."""

from __future__ import annotations

import contextlib
import ipaddress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.model import codec
from anycastle.model.addresses import Address, Interface, Network
from anycastle.model.client import Client, Credential
from anycastle.model.deployment import Deployment
from anycastle.model.feed import Change, Frame, Heartbeat, Snapshot

FRAME: Any = Frame  # a union is no `type[T]` to mypy
v4 = st.ip_addresses(v=4)
v6 = st.ip_addresses(v=6)
keys = st.binary(min_size=32, max_size=32).map(codec.Key)
names = st.text(min_size=1, max_size=20)
moments = st.floats(min_value=0, max_value=4e9)
revisions = st.integers(0, 2**63 - 1)

credentials = st.builds(
    Credential, id=names, public_key=keys, preshared_key=st.none() | keys,
    not_after=st.none() | moments,
)  # fmt: skip
clients = st.builds(
    Client, id=names, name=names, addresses=st.tuples(v4, v6),
    credentials=st.lists(credentials, max_size=3).map(tuple),
)  # fmt: skip
frames = st.one_of(
    st.builds(
        Snapshot, deployment=names, epoch=names, revision=revisions,
        clients=st.lists(clients, max_size=4).map(tuple),
    ),
    st.builds(
        Change, after=revisions, revision=revisions, reason=names,
        put=st.lists(clients, max_size=2).map(tuple), remove=st.lists(names).map(tuple),
    ),
    st.builds(Heartbeat, revision=revisions, at=moments),
)  # fmt: skip


def networks(family: Any) -> st.SearchStrategy[Any]:
    limit = 32 if family is v4 else 128
    return st.builds(
        lambda a, n: ipaddress.ip_network((a, n), strict=False), family, st.integers(0, limit)
    )


class Everything(msgspec.Struct, frozen=True, kw_only=True):
    """One field of each type that the codec adds."""

    address: Address
    network: Network
    interface: Interface
    four: ipaddress.IPv4Address
    six: ipaddress.IPv6Network
    key: codec.Key
    maybe: Address | None = None


everything = st.builds(
    Everything,
    address=v4 | v6,
    network=networks(v4) | networks(v6),
    interface=(v4 | v6).map(ipaddress.ip_interface),
    four=v4,
    six=networks(v6),
    key=keys,
    maybe=st.none() | v4 | v6,
)


@given(everything)
def test_json_round_trip(value: Everything) -> None:
    assert codec.from_json(codec.to_json(value), Everything) == value


@given(everything)
def test_msgpack_round_trip(value: Everything) -> None:
    assert codec.from_msgpack(codec.to_msgpack(value), Everything) == value


@given(everything)
def test_plain_round_trip(value: Everything) -> None:
    assert codec.from_plain(codec.to_plain(value), Everything) == value


@given(frames)
def test_feed_frames_keep_their_kind(frame: Snapshot | Change | Heartbeat) -> None:
    decoded: object = codec.from_msgpack(codec.to_msgpack(frame), FRAME)
    assert decoded == frame
    assert type(decoded) is type(frame)


@given(st.binary())
def test_any_bytes_decode_or_raise_a_model_error(data: bytes) -> None:
    for decode in (codec.from_json, codec.from_msgpack):
        with contextlib.suppress(codec.ModelError):
            decode(data, Everything)


@given(frames, st.data())
def test_a_flipped_byte_never_escapes_as_another_error(frame: Snapshot, data: Any) -> None:
    raw = bytearray(codec.to_msgpack(frame))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(codec.ModelError):
        codec.from_msgpack(bytes(raw), FRAME)


@given(keys)
def test_keys(key: codec.Key) -> None:
    assert codec.Key.from_text(key.text) == key
    assert len(key.text) == 44
    assert key.text not in f"{key} {key!r}", "a key reached text by accident"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "this one has 0"),
        ("AAAA", "this one has 3"),
        ("A" * 43, "not base64"),
        ("*" * 44, "not base64"),
        ("A" * 48, "this one has 36"),
    ],
)
def test_bad_keys(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        codec.Key.from_text(text)


DEPLOYMENT: dict[str, Any] = {
    "name": "x",
    "asn": 64512,
    "anycast": {"addresses": ["192.0.2.1"], "prefixes": ["192.0.2.0/24"]},
    "pools": {"v4": "10.200.0.0/16", "v6": "fd00:200::/64"},
    "loopbacks": {"v4": "10.64.0.0/24", "v6": "fd00:64::/64"},
    "datacentres": [
        {
            "name": "ams",
            "kind": "lab",
            "edges": [{"name": "e", "asn": 1, "links": {"v4": "10.65.0.0/24", "v6": "fd00::/64"}}],
            "nodes": [{"name": "ams-1", "id": 1}],
        }
    ],
    "control_plane": {"addresses": ["198.51.100.17"]},
}


def edited(path: tuple[str | int, ...], value: object) -> dict[str, Any]:
    copy = codec.from_plain(codec.to_plain(DEPLOYMENT), dict[str, Any])
    place: Any = copy
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return copy


def test_the_sample_is_good() -> None:
    assert codec.from_plain(DEPLOYMENT, Deployment).datacentres[0].nodes[0].name == "ams-1"


@pytest.mark.parametrize(
    ("path", "value", "where", "says"),
    [
        (("asn",), "x", "asn", "Expected `int`"),
        (("datacentres", 0, "nodes", 0, "id"), "1", "datacentres[0].nodes[0].id", "Expected `int`"),
        (("datacentres", 0, "kind"), "gcp", "datacentres[0].kind", "Invalid enum value 'gcp'"),
        (("datacentres", 0, "color"), "red", "datacentres[0]", "unknown field `color`"),
        (("anycast", "addresses"), ["192.0.2.300"], "anycast.addresses[0]", "192.0.2.300"),
        (("pools", "v4"), "10.200.0.1/16", "pools.v4", "host bits set"),
        (("pools", "v6"), "10.200.0.0/16", "pools.v6", "'10.200.0.0/16' is not an IPv6 network"),
        (("anycast", "prefixes"), [7], "anycast.prefixes[0]", "expected an address as text"),
    ],
)
def test_errors_carry_the_path(
    path: tuple[str | int, ...], value: object, where: str, says: str
) -> None:
    with pytest.raises(codec.ModelError) as caught:
        codec.from_plain(edited(path, value), Deployment)
    assert caught.value.path == where
    assert says in caught.value.reason
    assert str(caught.value) == f"{where}: {caught.value.reason}"


def test_an_error_of_the_whole_has_no_path() -> None:
    with pytest.raises(codec.ModelError) as caught:
        codec.from_json(b"nonsense", Everything)
    assert caught.value.path == ""
    assert str(caught.value) == caught.value.reason


def test_what_has_no_encoding_says_so() -> None:
    with pytest.raises(NotImplementedError, match="object has no encoding"):
        codec.to_json(object())
