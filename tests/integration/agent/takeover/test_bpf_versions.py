"""Programs that replace each other, and what the kernel or libbpf have against one."""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from anycastle.agent.takeover.bpf import build, hooks, libbpf, pins, program
from anycastle.agent.takeover.bpf.path import BpfPath
from anycastle.agent.takeover.path import PathError
from tests.support.bpf_paths import CLIENTS, MakeBpfPath, bpf_paths, copy_sources
from tests.support.namespaces import namespaces
from tests.support.node import node_spec
from tests.support.path_world import (
    FABRIC,
    LOOPBACKS,
    PathWorld,
    client,
    data,
    path_world,
    response,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

ONE, TWO = LOOPBACKS


def compiled(tmp_path: Path, old: str, new: str) -> bytes:
    """The program with one piece of its source replaced."""
    source = copy_sources(tmp_path / "other")
    texts = {path: path.read_text() for path in (source, *source.parent.glob("*/*.h"))}
    assert sum(text.count(old) for text in texts.values()) == 1, old
    for path, text in texts.items():
        path.write_text(text.replace(old, new))
    build.compile_program(tmp_path / "other.o", source)
    return (tmp_path / "other.o").read_bytes()


def use(monkeypatch: pytest.MonkeyPatch, code: bytes) -> None:
    """The next start of an agent finds this program in its package."""
    monkeypatch.setattr(program, "read_object", lambda: code)


@pytest.fixture
def sessions(bpf_world: PathWorld) -> PathWorld:
    """Client 1 belongs to the first node, client 2 to the second."""
    bpf_world.one.send(response(7, 99), client(1))
    bpf_world.two.send(response(8, 99), client(2))
    bpf_world.one.path.put_relays({client(1): TWO, client(2): TWO})
    return bpf_world


def assert_served(world: PathWorld) -> None:
    world.send(data(7), client(1))
    world.send(data(8), client(2))
    assert world.one.receive() == [(client(1), data(7))]
    assert world.two.receive() == [(client(2), data(8))]


def test_another_version_keeps_what_is_known(
    sessions: PathWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_served(sessions)
    before = sessions.one.space.run("tc filter show dev up0 ingress")
    use(monkeypatch, compiled(tmp_path, "(SECOND / 4)", "(SECOND / 3)"))
    sessions.restart(sessions.one)
    assert sessions.one.ensure()
    assert sessions.one.space.run("tc filter show dev up0 ingress") != before
    assert_served(sessions)
    assert sessions.one.path.counters().own == 2
    assert not sessions.one.ensure()


def test_not_a_packet_goes_astray_while_versions_change(
    sessions: PathWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = [
        compiled(tmp_path, "#define BURST (SECOND / 4)", f"#define BURST (SECOND / {number})")
        for number in (5, 6, 7)
    ]
    over = threading.Event()
    sent = 0

    def traffic() -> None:
        nonlocal sent
        while not over.wait(0.001):
            sessions.send(data(7, 100, sent), client(1))
            sessions.send(data(8, 100, sent), client(2))
            sent += 1

    sender = threading.Thread(target=traffic)
    sender.start()
    try:
        for code in versions:
            use(monkeypatch, code)
            sessions.restart(sessions.one)
            assert sessions.one.ensure()
    finally:
        over.set()
        sender.join()
    assert sent > 100
    for node, index, source in ((sessions.one, 7, client(1)), (sessions.two, 8, client(2))):
        wanted = [(source, data(index, 100, number)) for number in range(sent)]
        assert node.receive(sent) == wanted


def test_maps_of_another_shape_are_left_and_nothing_is_relayed_by_them(
    sessions: PathWorld,
) -> None:
    """A node made for more clients: own indices are lost, so each packet might be own."""
    one = sessions.one
    old: Any = one.path
    one.path.close()
    with one.space.entered():
        directory = old._directory
        services, loopback = old._services, old._loopback
        one.path = BpfPath(services, loopback, directory=directory, clients=2 * CLIENTS)
        assert one.path.ensure(["up0"], FABRIC.device)
    assert one.path.relays() == {}
    one.path.put_relays({client(1): TWO, client(2): TWO})
    sessions.send(data(7), client(1))
    assert one.receive() == [(client(1), data(7))]
    assert one.path.counters().relayed == 0
    with one.space.entered():
        assert not one.path.ensure(["up0"], FABRIC.device)
    pinned = sorted(path.name for path in directory.glob("programs-*"))
    assert len(pinned) == 1


def test_pins_that_are_half_there_are_made_anew(make_bpf_path: MakeBpfPath) -> None:
    with namespaces("half") as (space,), space.entered():
        space.batch(
            "link add up0 type veth peer up1", f"link add {FABRIC.device} type veth peer far0"
        )
        path = make_bpf_path(node_spec())
        path.ensure(["up0"], FABRIC.device)
        path.trust(True)
        path.put_relays({client(1): TWO})
        path.close()
        pins.remove(path._directory / "maps-1" / "mine")
        path = make_bpf_path(node_spec())
        assert path.ensure(["up0"], FABRIC.device)
        assert path.relays() == {client(1): TWO}
        assert not path._settings().trusted
        path.remove()


def test_an_uplink_that_is_missing_is_left_out_until_it_is_there(
    make_bpf_path: MakeBpfPath,
) -> None:
    with namespaces("lack") as (space,), space.entered():
        space.batch(
            "link add up0 type veth peer up1", f"link add {FABRIC.device} type veth peer far0"
        )
        path = make_bpf_path(node_spec())
        assert path.ensure(["up0", "up9"], FABRIC.device)
        assert not path.ensure(["up0", "up9"], FABRIC.device)
        space.batch("link add up9 type veth peer up8")
        assert path.ensure(["up0", "up9"], FABRIC.device)
        for device in ("up0", "up9"):
            assert "takeover" in space.run(f"tc filter show dev {device} egress")
        path.remove()


def test_a_missing_way_to_the_other_nodes_is_an_error_but_the_uplinks_are_served(
    make_bpf_path: MakeBpfPath,
) -> None:
    with namespaces("lack") as (space,), space.entered():
        space.batch("link add up0 type veth peer up1")
        path = make_bpf_path(node_spec())
        for _ in range(2):
            with pytest.raises(PathError, match=r"no such network device: fabric0$"):
                path.ensure(["up0"], FABRIC.device)
        assert "takeover" in space.run("tc filter show dev up0 egress")
        path.remove()


def test_a_device_without_ethernet_headers_is_refused(make_bpf_path: MakeBpfPath) -> None:
    with namespaces("tun") as (space,), space.entered():
        space.batch("tuntap add up0 mode tun", f"link add {FABRIC.device} type veth peer far0")
        path = make_bpf_path(node_spec())
        with pytest.raises(PathError, match=r"up0 is no Ethernet device"):
            path.ensure(["up0"], FABRIC.device)
        path.remove()


def test_what_the_verifier_says_is_in_the_error(
    make_bpf_path: MakeBpfPath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = compiled(tmp_path, "return index && (__s64)(now", "return (__s64)(now")
    use(monkeypatch, bad)
    with namespaces("bad") as (space,), space.entered():
        path = make_bpf_path(node_spec())
        with pytest.raises(PathError, match=r"(?s)does not take the packet program.*map_value_or"):
            path.ensure([], FABRIC.device)
        path.remove()


def test_a_damaged_object_is_told_of(
    make_bpf_path: MakeBpfPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, b"\x7fELF" + bytes(100))
    with pytest.raises(PathError, match="damaged"):
        make_bpf_path(node_spec()).ensure([], FABRIC.device)


def test_without_the_library_the_package_to_install_is_named(
    make_bpf_path: MakeBpfPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(libbpf, "SONAME", "libbpf.so.0.absent")
    libbpf._library.cache_clear()
    try:
        with pytest.raises(PathError, match="libbpf1"):
            make_bpf_path(node_spec()).ensure([], FABRIC.device)
    finally:
        libbpf._library.cache_clear()


def test_nothing_is_left_after_remove_by_another_process() -> None:
    with bpf_paths() as make, path_world(make) as world:
        old: Any = world.one.path
        directory = old._directory
        world.one.path.close()
        world.restart(world.one)
        world.one.path.remove()
        assert not pins.is_mounted(directory)
        with world.one.space.entered():
            assert list(hooks.of_all_devices()) == []


def test_bytes_do_not_depend_on_the_place(tmp_path: Path) -> None:
    """The wheel is built in a copy of the source, somewhere else each time."""
    objects = []
    for name in ("a", "bb"):
        folder = tmp_path / name
        build.compile_program(folder / "out.o", copy_sources(folder))
        objects.append((folder / "out.o").read_bytes())
    assert objects[0] == objects[1]
    sections = subprocess.run(
        ["readelf", "-S", str(tmp_path / "a" / "out.o")], capture_output=True, text=True, check=True
    ).stdout
    assert ".BTF" in sections
    assert ".debug" not in sections
