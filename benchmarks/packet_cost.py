"""What the packet path costs a packet, in the kernel, without the network around it.

The kernel runs a tc program again and again on one made-up packet (BPF_PROG_TEST_RUN) and
says how long one run took. The programs are those of the wheel, loaded as on a node, with
maps that hold what a node with 65,536 clients holds. Peer: a tc program that does nothing,
in the same process and in turn with the others, so that a busy machine slows both.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import struct
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import byref, cast, create_string_buffer, sizeof
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from anycastle.agent.takeover.bpf import build, layout, libbpf
from anycastle.agent.takeover.bpf.libbpf import TestRunOptions
from anycastle.agent.takeover.bpf.path import BpfPath
from anycastle.agent.takeover.bpf.program import EGRESS, FABRIC, INGRESS
from anycastle.model.addresses import Address, Endpoint
from benchmarks.result import Result, quantile
from tests.support.namespaces import namespaces

CLIENTS = 65_536
REPEAT = 200_000
ROUNDS = 9
SIZE = 1420
"""Bytes of the WireGuard message: a full packet of a client."""
SERVICE4, SERVICE6 = ip_address("192.0.2.1"), ip_address("2001:db8:a::1")
PORT = 51820
OWN, OTHER = IPv4Address("10.64.0.1"), IPv4Address("10.64.0.2")
EMPTY = """
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
SEC("tc") int empty(struct __sk_buff *skb) { (void)skb; return TC_ACT_UNSPEC; }
char license_[] SEC("license") = "GPL";
"""


@dataclass(frozen=True)
class Case:
    """program: descriptor. packet: as a device would hand it over."""

    name: str
    program: int
    packet: bytes
    notes: str


def run() -> Iterator[Result]:
    if os.geteuid() != 0:
        raise PermissionError("BPF programs are loaded: needs root")
    build.compile_in_place()
    with _empty_program() as empty, _node() as path:
        cases = list(_cases(path))
        base = [_run(empty, cases[0].packet)]
        times: dict[str, list[float]] = {case.name: [] for case in cases}
        for _ in range(ROUNDS):
            base.append(_run(empty, cases[0].packet))
            for case in cases:
                times[case.name].append(_run(case.program, case.packet))
    nothing = quantile(base, 0.5)
    for case in cases:
        yield Result(
            benchmark=f"packet_cost.{case.name}",
            value=quantile(times[case.name], 0.5),
            unit="ns",
            peer="a tc program that does nothing",
            peer_value=nothing,
            notes=f"{case.notes}; median of {ROUNDS} times {REPEAT} runs",
        )


def _cases(path: BpfPath) -> Iterator[Case]:
    programs = {name: fd for name, (fd, _id) in path._opened().programs.items()}  # noqa: SLF001
    for version in (4, 6):
        ours, theirs, nobody = (_endpoint(version, number) for number in (1, 2, CLIENTS + 5))
        for name, program, index, source, notes in (
            ("own", INGRESS, 1, ours, "index known, passed"),
            ("foreign", INGRESS, 7 << 24, theirs, "owner gone: looked up, counted, held back"),
            ("unknown", INGRESS, 7 << 24, nobody, "endpoint of nobody, passed"),
            ("delivered", FABRIC, 1, ours, "came relayed, handed to the uplink"),
        ):
            packet = _packet(source, _service(version), _data(index))
            yield Case(f"{name}.v{version}", programs[program], packet, notes)
        relayed = _packet(_endpoint(version, 3), _service(version), _data(7 << 24))
        yield Case(f"relayed.v{version}", programs[INGRESS], relayed, "redirected to the owner")
        answer = _packet(_service(version), ours, _data(1))
        yield Case(f"sent.v{version}", programs[EGRESS], answer, "own data packet on its way out")
        other = _packet(_endpoint(version, 4), Endpoint(_service(version).address, 443), _data(1))
        yield Case(f"other.v{version}", programs[INGRESS], other, "not for the service port")


# a node as it is in service ------------------------------------------------------


@contextmanager
def _node() -> Iterator[BpfPath]:
    services = [Endpoint(SERVICE4, PORT), Endpoint(SERVICE6, PORT)]
    directory = Path("/run", f"anycastle-bench-{secrets.token_hex(3)}")
    with namespaces("bench") as (space,), space.entered():
        for pair in ("up0", "fabric0"):
            space.batch(f"link add {pair} type veth peer {pair}x")
        path = BpfPath(services, OWN, directory=directory, clients=CLIENTS)
        try:
            path.ensure(["up0"], "fabric0")
            path.trust(True)
            _fill(path)
            yield path
        finally:
            path.remove()
            directory.rmdir()


def _fill(path: BpfPath) -> None:
    """Half of the clients are ours; of the others' owners one is alive, one is gone.

    Clients 2 and 3 of each family are others'; indices below 2^24 are ours.
    """
    owners = {
        _endpoint(version, number): OTHER if number % 2 else None
        for version in (4, 6)
        for number in range(2, CLIENTS // 2)
    }
    path.put_relays(owners)
    # The kernel's coarse clock now; told: the first packet of each was reported.
    learned = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    mine = path._opened().maps["mine"]  # noqa: SLF001
    mine.put_all(
        (struct.pack("=I", index), layout.INDEX.pack(learned, 1)) for index in range(1, CLIENTS)
    )


def _endpoint(version: int, number: int) -> Endpoint:
    base: Address = IPv4Address("11.0.0.0") if version == 4 else IPv6Address("2001:db8:c::")
    return Endpoint(base + number, 1024 + number % 60_000)


def _service(version: int) -> Endpoint:
    return Endpoint(SERVICE4 if version == 4 else SERVICE6, PORT)


# packets ---------------------------------------------------------------------------


def _data(index: int) -> bytes:
    return struct.pack("<IIQ", 4, index, 0).ljust(SIZE, b"d")


def _packet(source: Endpoint, destination: Endpoint, payload: bytes) -> bytes:
    """Ethernet to nobody in particular, which is what the test device answers to."""
    length = 8 + len(payload)
    udp = struct.pack("!HHHH", source.port, destination.port, length, 0) + payload
    addresses = source.address.packed + destination.address.packed
    if source.address.version == 4:
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, 17, 0) + addresses
        return bytes(12) + b"\x08\x00" + ip + udp
    ip = struct.pack("!IHBB", 6 << 28, length, 17, 64) + addresses
    return bytes(12) + b"\x86\xdd" + ip + udp


# the kernel's measurement --------------------------------------------------------------


def _run(program: int, packet: bytes) -> float:
    """Nanoseconds of one run, the mean of REPEAT in a row."""
    buffer = create_string_buffer(packet, len(packet))
    options = TestRunOptions(sizeof(TestRunOptions))
    options.data_in, options.data_size_in = cast(buffer, ctypes.c_void_p).value, len(packet)
    options.repeat = REPEAT
    libbpf.number("bpf_prog_test_run_opts", program, byref(options))
    return float(options.duration)


@contextmanager
def _empty_program() -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "empty.bpf.c"), Path(folder, "empty.o")
        source.write_text(EMPTY)
        build.compile_program(target, source)
        code = target.read_bytes()
    buffer = create_string_buffer(code, len(code))
    opened = libbpf.pointer("bpf_object__open_mem", buffer, len(code), None)
    try:
        libbpf.number("bpf_object__load", opened)
        found = libbpf.pointer("bpf_object__find_program_by_name", opened, b"empty")
        yield libbpf.number("bpf_program__fd", found)
    finally:
        libbpf.void("bpf_object__close", opened)
