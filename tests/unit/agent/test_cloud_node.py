"""A node behind a load balancer: its own address is what clients' packets arrive at."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv6Address
from pathlib import Path

import msgspec
import pytest

from anycastle.agent import settings
from anycastle.agent.desired import desired
from anycastle.agent.fabric import fabric_of
from anycastle.agent.health.probes import uplink
from anycastle.agent.links import LinkFlag
from anycastle.agent.netlink.edge import MAIN_TABLE, NextHop
from anycastle.agent.routing.bird_config import bird_config
from anycastle.agent.routing.frr_config import frr_config
from anycastle.agent.routing.plan import neighbours
from anycastle.model import codec
from anycastle.model.deployment import Anycast
from anycastle.model.node import EdgePeer, Gateway, Loopbacks, NodeSpec, Peer
from tests.support.node import NOW, SERVICE_KEY, node_spec

PRIVATE = IPv4Address("10.20.0.18")
GATEWAY = Gateway(device="ens5", address=IPv4Address("10.20.0.1"))
ENDPOINT = EdgePeer(
    name="rs-a-0",
    asn=65010,
    device="ens5",
    local4=IPv4Interface("10.20.0.18/20"),
    remote4=IPv4Address("10.20.0.9"),
)
OTHER = Peer(
    name="use-1",
    datacentre="us-east-1",
    loopbacks=Loopbacks(IPv4Address("10.64.0.9"), IPv6Address("fd00:64::9")),
    underlay=IPv4Address("10.30.0.34"),
)


@pytest.fixture
def spec() -> NodeSpec:
    return msgspec.structs.replace(
        node_spec(),
        anycast=Anycast(addresses=(PRIVATE,), prefixes=()),
        hold_anycast=False,
        gateways=(GATEWAY,),
        edges=(ENDPOINT,),
        underlay=PRIVATE,
    )


def test_the_hosts_address_is_left_to_the_host(spec: NodeSpec) -> None:
    held = {str(one.interface.ip) for one in desired(spec, SERVICE_KEY, {}, NOW).addresses}
    assert "10.64.0.1" in held
    assert str(PRIVATE) not in held


def test_wireguard_sends_from_it_through_the_subnets_router(spec: NodeSpec) -> None:
    routes = desired(spec, SERVICE_KEY, {}, NOW).routes
    (marked,) = (route for route in routes if route.table != MAIN_TABLE)
    assert (marked.table, marked.source) == (51820, PRIVATE)
    assert marked.next_hops == (NextHop("ens5", GATEWAY.address),)


def test_reverse_path_filters_are_loose_on_its_device_once(spec: NodeSpec) -> None:
    names = [one.name for one in desired(spec, SERVICE_KEY, {}, NOW).sysctls]
    assert names.count("net.ipv4.conf.ens5.rp_filter") == 1


def test_tunnel_ends_are_underlay_addresses(spec: NodeSpec) -> None:
    fabric = fabric_of(spec, [OTHER])
    assert fabric.tunnel.local == PRIVATE
    (peer,) = fabric.peers
    assert (peer.mac, str(peer.remote)) == ("02:ac:0a:40:00:09", "10.30.0.34")


def test_a_route_server_is_a_neighbour_of_one_family(spec: NodeSpec) -> None:
    assert [one.name for one in neighbours(spec, ())][:1] == ["edge-rs-a-0-4"]
    assert "edge-rs-a-0-6" not in {one.name for one in neighbours(spec, ())}
    bird, frr = bird_config(spec, ()), frr_config(spec, ())
    assert "local 10.20.0.18 as 64512;" in bird
    assert "neighbor 10.20.0.9 as 65010;" in bird
    assert "edge-rs-a-0-6" not in bird + frr
    assert frr.count(" neighbor 10.20.0.9 activate") == 1


def test_only_the_pool_goes_to_it(spec: NodeSpec) -> None:
    assert "function is_aggregate4() { return net ~ [ 10.200.0.0/16 ]; }" in bird_config(spec, ())


def test_without_edges_a_link_is_enough(spec: NodeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = msgspec.structs.replace(spec, edges=())

    class Around:
        routing = None

        def __init__(self) -> None:
            self.spec = alone

    state: LinkFlag | None = LinkFlag.RUNNING
    monkeypatch.setattr(uplink, "flags", lambda _: state)
    assert uplink.complaint(Around()) == ""  # type: ignore[arg-type]
    state = None
    assert uplink.complaint(Around()) == "ens5 has no link"  # type: ignore[arg-type]


def test_no_prefix_is_fine_for_it_and_for_nobody_else(spec: NodeSpec, tmp_path: Path) -> None:
    (tmp_path / "node.json").write_bytes(codec.to_json(spec))
    assert settings.node_spec(tmp_path) == spec
    holder = msgspec.structs.replace(spec, hold_anycast=True)
    (tmp_path / "node.json").write_bytes(codec.to_json(holder))
    with pytest.raises(settings.SettingsError, match="at least one prefix"):
        settings.node_spec(tmp_path)
