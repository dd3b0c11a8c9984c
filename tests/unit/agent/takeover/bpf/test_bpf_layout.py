"""Bytes of the packet program's structures: against the C source, and there and back."""

from __future__ import annotations

import re
import shutil
import struct
from dataclasses import fields
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.agent.takeover.bpf import build, layout
from anycastle.agent.takeover.bpf.layout import Port, Settings, Sizes
from anycastle.agent.takeover.path import EventKind, PacketEvent, PathCounters
from anycastle.model.addresses import Endpoint, fabric_mac

# C structure -> (Python's, the names of its parts in C, in order)
STRUCTURES: dict[str, tuple[struct.Struct, tuple[str, ...]]] = {
    "endpoint": (layout.ENDPOINT, ("address", "port", "zero")),
    "index": (layout.INDEX, ("learned", "told", "zero")),
    "indices": (layout.INDICES, ("index", "next", "open")),
    "relay": (layout.RELAY, ("reported", "owner", "zero")),
    "event": (layout.EVENT, ("at", "source", "kind")),
    "settings": (
        layout.SETTINGS,
        ("flags", "fabric", "uplink", "services", "fabric_mac", "uplink_mac", "service"),
    ),
}

endpoints = st.builds(
    Endpoint,
    st.one_of(
        st.builds(IPv4Address, st.integers(0, 2**32 - 1)),
        # Mapped addresses are the other family's, here as in the kernel.
        st.builds(IPv6Address, st.integers(2**48, 2**128 - 1)),
    ),
    st.integers(1, 65535),
)
ports = st.builds(Port, st.integers(0, 2**31 - 1), st.binary(min_size=6, max_size=6))


def parts(form: struct.Struct) -> list[int]:
    """Offset of each part of a format without alignment."""
    found = re.findall(r"\d*[a-zA-Z]", form.format.removeprefix("="))
    return [struct.calcsize("=" + "".join(found[:number])) for number in range(len(found))]


def assertions() -> list[str]:
    """C that compiles only where the structures are what Python believes them to be."""
    lines = [
        f"_Static_assert(__builtin_offsetof(struct {name}, {part}) == {offset}, {part!r});"
        for name, (form, names) in STRUCTURES.items()
        for part, offset in zip(names, parts(form), strict=True)
    ]
    lines += [
        f"_Static_assert(sizeof(struct {name}) == {form.size}, {name!r});"
        for name, (form, _) in STRUCTURES.items()
    ]
    lines += [
        f"_Static_assert(__builtin_offsetof(struct counters, {field.name}) == {8 * number}, '');"
        for number, field in enumerate(fields(PathCounters))
    ]
    lines.append(f"_Static_assert(sizeof(struct counters) == {layout.COUNTERS.size}, '');")
    lines += [
        f"_Static_assert({kind.name} == {number}, '');"
        for number, kind in enumerate(layout.EVENT_KINDS)
    ]
    lines.append(f"_Static_assert(MAX_SERVICES == {layout.MAX_SERVICES}, '');")
    lines.append(f"_Static_assert(TRUSTED == {layout.TRUSTED}, '');")
    return [line.replace("'", '"') for line in lines]


needs_clang = pytest.mark.skipif(shutil.which("clang") is None, reason="`make setup` brings clang")


@needs_clang
def test_python_and_c_agree(tmp_path: Path) -> None:
    source = tmp_path / "agree.c"
    source.write_text("\n".join(['#include "takeover.bpf.c"', *assertions(), ""]))
    build.check(source)


@needs_clang
def test_a_disagreement_would_be_seen(tmp_path: Path) -> None:
    source = tmp_path / "differ.c"
    wrong = '_Static_assert(__builtin_offsetof(struct relay, owner) == 4, "owner");'
    source.write_text(f'#include "takeover.bpf.c"\n{wrong}\n')
    with pytest.raises(build.BuildFailed, match="owner"):
        build.check(source)


def test_every_kind_of_event_has_a_number() -> None:
    assert set(layout.EVENT_KINDS) == set(EventKind)


@given(endpoints)
def test_endpoints_there_and_back(endpoint: Endpoint) -> None:
    packed = layout.pack_endpoint(endpoint)
    assert len(packed) == 20
    assert layout.unpack_endpoint(packed) == endpoint


def test_an_endpoint_is_as_on_the_wire() -> None:
    packed = layout.pack_endpoint(Endpoint(IPv4Address("198.51.100.7"), 0x1234))
    assert packed.hex(" ", 4) == "00000000 00000000 0000ffff c6336407 12340000"


@given(st.one_of(st.none(), st.builds(IPv4Address, st.integers(1, 2**32 - 1))))
def test_relays_there_and_back(owner: IPv4Address | None) -> None:
    assert layout.unpack_relay(layout.pack_relay(owner)) == owner


@given(st.lists(endpoints, max_size=layout.MAX_SERVICES), st.booleans(), ports, ports)
def test_settings_there_and_back(
    services: list[Endpoint], trusted: bool, fabric: Port, uplink: Port
) -> None:
    settings = Settings(tuple(services), trusted, fabric, uplink)
    assert Settings.unpack(settings.pack()) == settings
    assert settings.trust(True).trusted


def test_settings_that_were_never_written_trust_nobody() -> None:
    assert Settings.unpack(bytes(layout.SETTINGS.size)) == Settings(services=())


@given(endpoints, st.sampled_from(EventKind), st.integers(0, 10**15))
def test_events(endpoint: Endpoint, kind: EventKind, at: int) -> None:
    number = layout.EVENT_KINDS.index(kind)
    packed = layout.EVENT.pack(at, layout.pack_endpoint(endpoint), number)
    assert layout.unpack_event(packed) == PacketEvent(kind, endpoint, at / 1e9)


def test_indices_that_were_never_written_are_none() -> None:
    assert list(layout.unpack_indices(layout.INDICES.pack(5, 6, *[0] * 6, 2, 0))) == [5, 6]
    assert list(layout.unpack_indices(layout.INDICES.pack(*range(1, 9), 3, 1))) == [*range(1, 9)]


def test_counters_of_all_cpus_are_added() -> None:
    first, second = range(9), range(0, 900, 100)
    rows = [layout.COUNTERS.pack(*row) for row in (first, second)]
    assert layout.sum_counters(rows) == PathCounters(*range(0, 909, 101))


def test_maps_grow_with_the_clients() -> None:
    assert dict(Sizes(65_536).items())["mine"] == 262_144


def test_the_fabric_address_in_c_is_the_models() -> None:
    """address_to() makes it from the loopback; tests with packets show that it fits."""
    text = "".join(path.read_text() for path in build.sources())
    made = [int(byte, 16) for byte in re.findall(r"to->destination\[[01]\] = (0x\w+);", text)]
    assert bytes(made).hex(":") == fabric_mac(IPv4Address("10.64.0.1"))[:5]
