"""Simulated clients against a real wireguard-go. Needs root."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from anycastle.cli import keys
from anycastle.model.codec import Key
from tests.support.namespaces import Namespace, join, namespaces, unique_device
from tests.support.simulated_crowd import SimulatedCrowd
from tests.support.simulated_process import Member, Setup
from tests.support.waiting import wait_for
from tests.support.wireguard import Daemons

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")
COUNT = 20
PORT = 51820


@dataclass
class Node:
    """A real device with all clients as peers."""

    space: Namespace
    device: str
    daemons: Daemons
    private: Key
    folder: Path

    def start(self, setup: Setup) -> None:
        """A device without a session."""
        control = Path(f"/var/run/wireguard/{self.device}.sock")
        control.unlink(missing_ok=True)  # that of one that was killed
        self.daemons.start(self.space, self.device)
        wait_for("wireguard-go", control.exists, 5)
        lines = ["[Interface]", f"PrivateKey = {self.private.text}", f"ListenPort = {PORT}"]
        for member in setup.members:
            public = keys.public_key(Key.from_text(member.private)).text
            lines += ["[Peer]", f"PublicKey = {public}", f"PresharedKey = {member.preshared}"]
            lines += [f"AllowedIPs = {member.address}/32"]
        file = self.folder / "node.conf"
        file.write_text("\n".join(lines) + "\n")
        self.space.run(f"wg setconf {self.device} {file}")
        self.space.batch(
            f"address add 10.200.0.1/16 dev {self.device}", f"link set {self.device} up"
        )

    def endpoints(self) -> list[str]:
        """One line a peer: public key, address and port."""
        return self.space.run(f"wg show {self.device} endpoints").splitlines()

    def initiate(self, public: str, endpoint: str) -> None:
        """Make a node without a session begin one, as takeover does."""
        self.space.run(
            f"wg set {self.device} peer {public} endpoint {endpoint} persistent-keepalive 1"
        )


@pytest.fixture
def node(tmp_path: Path) -> Iterator[tuple[Node, Namespace]]:
    daemons = Daemons(tmp_path)
    with namespaces("node", "far") as (space, far):
        join(space, "up0", far, "up0")
        for each, last in ((space, 1), (far, 2)):
            each.batch("link set up0 up", f"address add 198.51.100.{last}/24 dev up0")
        try:
            yield Node(space, unique_device(), daemons, keys.new_private_key(), tmp_path), far
        finally:
            daemons.stop_all()


def setup_of(node: Node, far: Namespace) -> Setup:
    return Setup(
        netns=far.name,
        endpoint=f"198.51.100.1:{PORT}",
        service=keys.public_key(node.private).text,
        target=IPv4Address("10.200.0.1"),
        interval=0.1,
        keepalive=25,
        members=tuple(
            Member(
                name=f"sim-{number}",
                private=keys.new_private_key().text,
                # Half of them have none, which is a key of zeros.
                preshared=Key(secrets.token_bytes(32) if number % 2 else bytes(32)).text,
                address=IPv4Address("10.200.0.16") + number,
            )
            for number in range(COUNT)
        ),
    )


def test_sessions_with_wireguard_go(node: tuple[Node, Namespace]) -> None:
    real, far = node
    setup = setup_of(real, far)
    names = names_of(setup)
    real.start(setup)
    crowd = SimulatedCrowd(setup, {})
    try:
        crowd.connect()
        report = crowd.report()
        assert report.counters["handshakes"] == COUNT
        assert report.counters["initiations"] == COUNT
        assert report.counters["cookies"] == report.counters["refused"] == 0
        crowd.mark()
        report = crowd.all_back(5)
        assert all(c.back is not None and c.back < 3 for c in report.clients)

        # Another port: the node sees it move, and another handshake.
        before = real.endpoints()
        crowd.connect(crowd.names[:5])
        assert len(set(before) & set(real.endpoints())) == COUNT - 5
        assert crowd.report().counters["handshakes"] == COUNT + 5

        # The device is replaced by one without sessions, which then begins them.
        real.daemons.kill(real.device)
        wait_for("no device", lambda: real.device not in real.space.run("ip -br link"), 5)
        real.start(setup)
        crowd.mark()
        for key, endpoint in (line.split("\t") for line in before):
            if names[key] in crowd.names[5:]:
                real.initiate(key, endpoint)

        def back() -> bool:
            reports = crowd.report().clients
            return all(c.back is not None for c in reports if c.name in crowd.names[5:])

        wait_for("whom the node called, before their own timers", back, 10)
        assert crowd.report().counters["consumed"] >= COUNT - 5
    finally:
        crowd.close()


def names_of(setup: Setup) -> dict[str, str]:
    """Names by public key."""
    return {keys.public_key(Key.from_text(m.private)).text: m.name for m in setup.members}
