"""The daemons' configurations as text: golden files, and what they must never hold."""

from __future__ import annotations

import re
from ipaddress import IPv4Address, IPv6Address, IPv6Network
from pathlib import Path

import msgspec
import pytest

from anycastle.agent.routing.bird import BirdDriver
from anycastle.agent.routing.bird_config import bird_config
from anycastle.agent.routing.driver import driver_for
from anycastle.agent.routing.frr import FrrDriver
from anycastle.agent.routing.frr_config import frr_config
from anycastle.agent.routing.plan import beacon, families, neighbours
from anycastle.model.addresses import fabric_interface, fabric_mac
from anycastle.model.deployment import Bfd, Routing
from anycastle.model.node import Loopbacks, Peer
from tests.support.node import node_spec

GOLDEN = Path(__file__).parent / "golden"
SPEC = node_spec(uplinks=2)
PEERS = [
    Peer(
        name=name,
        datacentre=name[:3],
        loopbacks=Loopbacks(IPv4Address(f"10.64.0.{last}"), IPv6Address(f"fd00:64::{last}")),
    )
    for name, last in (("ams-2", 2), ("fra-1", 3))
]


@pytest.mark.parametrize("name", ["bird.conf", "frr.conf"])
def test_configuration_is_the_golden_text(name: str) -> None:
    """To accept a change: write `text` into the file, and look at the difference."""
    text = (bird_config if name == "bird.conf" else frr_config)(SPEC, PEERS)
    assert text == (GOLDEN / name).read_text()


def test_files_of_a_real_node() -> None:
    assert set(driver_for(Routing.BIRD).render(SPEC, PEERS)) == {
        "/etc/bird/bird.conf",
        "/etc/systemd/system/bird.service.d/anycastle.conf",
    }
    assert set(driver_for(Routing.FRR).render(SPEC, PEERS)) == {
        "/etc/frr/frr.conf",
        "/etc/frr/daemons",
        "/etc/frr/vtysh.conf",
        "/etc/systemd/system/frr.service.d/anycastle.conf",
    }
    assert isinstance(driver_for(Routing.BIRD), BirdDriver)
    assert isinstance(driver_for(Routing.FRR), FrrDriver)


def test_a_peer_that_leaves_takes_its_own_lines_only() -> None:
    gone = set(bird_config(SPEC, PEERS).splitlines()) - set(
        bird_config(SPEC, PEERS[:1]).splitlines()
    )
    assert gone == {"protocol bgp 'peer-fra-1' {", "    neighbor 10.67.0.3 as 64512;"}
    gone = set(frr_config(SPEC, PEERS).splitlines()) - set(frr_config(SPEC, PEERS[:1]).splitlines())
    assert gone == {
        " neighbor 10.67.0.3 peer-group PEERS",
        " neighbor 10.67.0.3 description peer-fra-1",
    }


def test_edges_get_their_own_bfd_timers() -> None:
    slow = msgspec.structs.replace(SPEC.edges[1], bfd=Bfd(interval=300, multiplier=5))
    spec = msgspec.structs.replace(SPEC, edges=(SPEC.edges[0], slow))
    bird = bird_config(spec, PEERS)
    assert 'interface "up0" { interval 50 ms; multiplier 3; };' in bird
    assert 'interface "up1" { interval 300 ms; multiplier 5; };' in bird
    frr = frr_config(spec, PEERS)
    assert f"neighbor {slow.remote4} bfd profile every-300-ms-times-5" in frr
    profile = frr.split(" profile every-300-ms-times-5\n")[1].split(" exit")[0]
    assert profile.split() == ["detect-multiplier", "5"]  # FRR does not write its default, 300


def test_an_anycast_prefix_of_one_family_is_enough() -> None:
    anycast = msgspec.structs.replace(SPEC.anycast, prefixes=(IPv6Network("2001:db8:a::/48"),))
    spec = msgspec.structs.replace(SPEC, anycast=anycast)
    v4, v6 = families(spec)
    assert v4.aggregates == (spec.pools.v4,)
    assert v6.aggregates == (IPv6Network("2001:db8:a::/48"), spec.pools.v6)
    assert "192.0.2.0/24" not in bird_config(spec, []) + frr_config(spec, [])


def test_every_neighbour_is_in_both_configurations() -> None:
    bird, frr = bird_config(SPEC, PEERS), frr_config(SPEC, PEERS)
    found = list(neighbours(SPEC, PEERS))
    assert [each.name for each in found] == [
        "edge-edge0-4", "edge-edge0-6", "edge-edge1-4", "edge-edge1-6",
        "peer-ams-2", "peer-fra-1", "agent-client", "agent-anycast",
    ]  # fmt: skip
    for each in found:
        assert f"protocol bgp '{each.name}' {{" in bird
        assert f"neighbor {each.address} as " in bird
        assert f" neighbor {each.address} description {each.name}\n" in frr


def test_every_filter_that_is_named_exists() -> None:
    bird, frr = bird_config(SPEC, PEERS), frr_config(SPEC, PEERS)
    used = set(re.findall(r"(?:import|export) filter (\w+)", bird))
    assert used == set(re.findall(r"^filter (\w+)", bird, re.MULTILINE))
    used = set(re.findall(r"^ .* route-map (\S+) (?:in|out)$", frr, re.MULTILINE))
    used |= set(re.findall(r"^ip.* route-map (\S+)$", frr, re.MULTILINE))
    assert used == set(re.findall(r"^route-map (\S+)", frr, re.MULTILINE))
    lists = set(re.findall(r"address prefix-list (\S+)", frr))
    assert lists == set(re.findall(r"^ip\w* prefix-list (\S+)", frr, re.MULTILINE))


def test_addresses_of_the_inter_node_path() -> None:
    loopback = IPv4Address("10.64.1.3")
    networks = SPEC.fabric.networks
    assert str(fabric_interface(networks.v4, loopback)) == "10.67.1.3/16"
    assert str(fabric_interface(networks.v6, loopback)) == "fd00:67::a40:103/64"
    assert fabric_mac(loopback) == "02:ac:0a:40:01:03"
    assert str(beacon(loopback)) == "100::a40:103/128"
