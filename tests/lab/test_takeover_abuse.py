"""What strangers can do with takeover: forged and replayed packets, sent from a router of the
other datacentre's internet with a client's source address.

Nobody may be cut off, nobody served who shouldn't be, and no node may be made to send more
than one initiation per 5 s to a client, and anything to anybody else.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise

import pytest

from anycastle.model.addresses import Endpoint
from tests.support import sessions
from tests.support.capture import DATA, INITIATION, RESPONSE, Capture, Packet, capture
from tests.support.lab import Lab
from tests.support.namespaces import Namespace
from tests.support.waiting import wait_for, wait_quiet
from tools.measure.probing import Probing, probing

FORGER = "core2"
"""Its packets go to the other datacentre than those of site1."""
CLIENT = "site1-c1"
INTERVAL = 5.0
FORGED = 12.0
"""Seconds of forged packets."""


@contextmanager
def watched(lab: Lab) -> Iterator[tuple[Probing, Capture]]:
    """The client talks; what passes its site's line is captured."""
    with (
        probing(sessions.streams(lab, [CLIENT], rate=50)) as probe,
        capture(Namespace(lab.netns("site1-nat")), "wan") as seen,
    ):
        assert probe.answering([CLIENT], 20) == []
        time.sleep(sessions.REPORTED)
        yield probe, seen


def endpoint(lab: Lab) -> Endpoint:
    view = next(view for view in lab.client_views() if view.name == CLIENT)
    assert view.endpoint is not None
    return Endpoint.parse(view.endpoint)


def service(lab: Lab) -> Endpoint:
    address = next(a for a in lab.deployment.anycast.addresses if a.version == 4)
    return Endpoint(address, lab.deployment.anycast.port)


def forge(lab: Lab, source: Endpoint, payloads: list[bytes], every: float = 0.02) -> None:
    """UDP from the forger's namespace with that source (no checksum, RFC 768)."""
    target = service(lab)
    with Namespace(lab.netns(FORGER)).entered():
        raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with raw:
        for payload in payloads:
            udp = struct.pack("!HHHH", source.port, target.port, 8 + len(payload), 0) + payload
            head = struct.pack(
                "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 0, 0, 64, 17, 0,
                source.address.packed, target.address.packed,
            )  # fmt: skip
            raw.sendto(head + udp, (str(target.address), 0))
            time.sleep(every)


def data(size: int = 96) -> bytes:
    """Of the form of a data packet, for a session that nobody has."""
    return bytes((DATA, 0, 0, 0)) + secrets.token_bytes(size - 4)


def undisturbed(lab: Lab, probe: Probing, since: float, owner: list[str]) -> None:
    """The client lost nothing, and is where it was, for every node."""
    found = probe.summaries(since)[CLIENT]
    assert found.lost == 0, str(found)
    assert found.gap < 1, str(found)
    assert sessions.owners(lab)[CLIENT] == owner
    wait_quiet("one owner", lambda: [c for c in sessions.disputed(lab) if CLIENT in c], 10)


def test_forged_data_of_a_known_endpoint(lab: Lab) -> None:
    """A node of the other datacentre believes that the client is there now: it may ask the
    client, every 5 s at most, and the client stays where it is."""
    with watched(lab) as (probe, seen):
        owner, source, began = sessions.owners(lab)[CLIENT], endpoint(lab), time.time()
        forge(lab, source, [data() for _ in range(round(FORGED / 0.02))])
        undisturbed(lab, probe, began, owner)
        asked = [p.at for p in seen.packets(INITIATION, out=False) if p.destination == source]
    assert len(asked) <= FORGED / INTERVAL + 1, asked
    assert all(later - before > INTERVAL - 0.5 for before, later in pairwise(asked)), asked


def test_forged_data_of_an_unknown_endpoint(lab: Lab) -> None:
    with watched(lab) as (probe, seen):
        owner, known, began = sessions.owners(lab)[CLIENT], endpoint(lab), time.time()
        stranger = Endpoint(known.address, 9)
        forge(lab, stranger, [data() for _ in range(100)])
        undisturbed(lab, probe, began, owner)
        assert [str(p) for p in seen.packets(out=False) if p.destination.port == 9] == []


def test_a_replayed_initiation(lab: Lab) -> None:
    """The other datacentre's node has not seen that one yet and answers it. The answer is
    nobody's: the session there is never confirmed, so the client's owner stays."""
    with watched(lab) as (probe, seen):
        seen.clear()
        lab.reconnect([CLIENT])
        own = seen.wait("its initiation", is_own_initiation, 20)
        assert probe.answering([CLIENT], 20) == []
        time.sleep(sessions.REPORTED)
        owner, began = sessions.owners(lab)[CLIENT], time.time()
        assert len(owner) == 1
        seen.clear()
        forge(lab, own.source, [own.payload] * 50)
        wait_for("time for a mistake", lambda: time.time() > began + 3, 5)
        undisturbed(lab, probe, began, owner)
        answers = seen.packets(RESPONSE, out=False)
    assert len(answers) <= 2, "each node answers an initiation once at most"


def is_own_initiation(packet: Packet) -> bool:
    return packet.kind == INITIATION and packet.out


@pytest.mark.parametrize("size", [16, 31, 33, 1400])
def test_junk(lab: Lab, size: int) -> None:
    with watched(lab) as (probe, seen):
        owner, source, began = sessions.owners(lab)[CLIENT], endpoint(lab), time.time()
        forge(lab, Endpoint(source.address, 9), [data(size) for _ in range(50)])
        forge(lab, source, [secrets.token_bytes(size) for _ in range(50)])
        undisturbed(lab, probe, began, owner)
        assert [str(p) for p in seen.packets(out=False) if p.destination.port == 9] == []
