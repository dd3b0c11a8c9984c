"""The plan of the lab's world, for the deployment of the stack file and for random ones."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.model.addresses import Interface
from anycastle.model.codec import from_json, to_json
from anycastle.model.deployment import Deployment, Node
from components.lab.settings import LabSettings, Site, Uplink, check
from components.lab.topology import NODES_FROM, plan
from components.lab.world import DEVICE_NAME_MAX, Host, HostKind, World, device_towards
from tests.samples.lab_deployment import DEPLOYMENT, datacentre, dual

LAB = LabSettings()


@st.composite
def deployments(draw: st.DrawFn) -> tuple[Deployment, LabSettings]:
    """Up to five datacentres with up to eight nodes each, up to five sites."""
    ids = draw(st.lists(st.integers(1, 127), min_size=1, max_size=20, unique=True))
    count = draw(st.integers(1, 5))
    sites = draw(st.integers(0, 5))
    made = []
    for number in range(count):
        own = tuple(ids[number::count])
        made.append(datacentre(f"dc{number}", number, draw(st.sampled_from(["bird", "frr"])), own))
    uplinks = tuple(
        Uplink(
            edge=f"dc{number}-edge",
            core=f"core{1 + number % 2}",
            network=dual(f"198.51.100.{32 + 2 * number}/31", f"2001:db8:101::{2 * number:x}/127"),
        )
        for number in range(count)
    )
    lab = msgspec.structs.replace(
        LAB,
        uplinks=uplinks,
        backbone=(),
        sites=tuple(_site(number) for number in range(sites)),
        clients_per_site=draw(st.integers(0, 15)),
    )
    return msgspec.structs.replace(DEPLOYMENT, datacentres=tuple(made)), lab


def _site(number: int) -> Site:
    return Site(
        name=f"site{number}",
        core=f"core{1 + number % 2}",
        wan=dual(f"203.0.113.{2 * number}/31", f"2001:db8:200::{2 * number:x}/127"),
        lan=dual(f"192.168.{number}.0/24", f"fd00:a{number}::/64"),
    )


def all_addresses(world: World) -> list[Interface]:
    on_links = [a for link in world.links for port in link.ends for a in port.addresses]
    on_hosts = [a for host in world.hosts for a in host.loopbacks]
    on_bridges = [a for host in world.hosts for bridge in host.bridges for a in bridge.addresses]
    return on_links + on_hosts + on_bridges


@given(deployments())
def test_every_world_is_sound(made: tuple[Deployment, LabSettings]) -> None:
    deployment, lab = made
    assert list(check(lab, deployment)) == []
    world = plan(deployment, lab)
    names = {host.name for host in world.hosts}
    assert len(names) == len(world.hosts)
    for link in world.links:
        first, second = link.ends
        assert first.host != second.host
        assert {first.host, second.host} <= names
        # Without a bridge both ends are in the same networks.
        if not first.bridge:
            assert [a.network for a in first.addresses] == [a.network for a in second.addresses]
    addresses = Counter(str(address.ip) for address in all_addresses(world))
    assert [address for address, count in addresses.items() if count > 1] == []
    devices = Counter((port.host, port.device) for link in world.links for port in link.ends)
    assert [device for device, count in devices.items() if count > 1] == []
    assert all(len(device) <= DEVICE_NAME_MAX for _, device in devices)
    numbers = {host.number for host in world.hosts}
    assert len(numbers) == len(world.hosts)
    assert all(2 <= number <= 254 for number in numbers)


@given(deployments(), st.integers(1, 127))
def test_a_new_node_changes_nothing_of_other_hosts(
    made: tuple[Deployment, LabSettings], number: int
) -> None:
    """Only its own host and links come, so a preview shows nothing else."""
    deployment, lab = made
    if number in {node.id for dc in deployment.datacentres for node in dc.nodes}:
        return
    first, *others = deployment.datacentres
    grown = msgspec.structs.replace(first, nodes=(*first.nodes, Node(name="late", id=number)))
    before = plan(deployment, lab)
    after = plan(msgspec.structs.replace(deployment, datacentres=(grown, *others)), lab)
    assert [host for host in after.hosts if host.name != "late"] == list(before.hosts)
    assert [link for link in after.links if not link.name.endswith("_late")] == list(before.links)
    assert after.host("late").number == NODES_FROM + number


@given(deployments())
def test_records_come_back_from_disk_as_they_were(made: tuple[Deployment, LabSettings]) -> None:
    world = plan(*made)
    assert from_json(to_json(world), World) == world


def test_world_of_the_stack_file() -> None:
    world = plan(DEPLOYMENT, LAB)
    kinds = Counter(host.kind for host in world.hosts)
    assert kinds == {
        HostKind.CORE: 2,
        HostKind.CONTROL: 1,
        HostKind.NAT: 2,
        HostKind.CLIENT: 4,
        HostKind.EDGE: 2,
        HostKind.SERVICE: 2,
        HostKind.NODE: 4,
    }
    cables = {
        link.name: " ".join(f"{port.host}/{port.device}" for port in link.ends)
        for link in world.links
    }
    assert cables["ams-edge_ams-1"] == "ams-edge/ams-1 ams-1/up0"
    assert cables["core1_site1-nat"] == "core1/site1-nat site1-nat/wan"
    assert cables["ams-edge_fra-edge"] == "ams-edge/fra-edge fra-edge/ams-edge"


@pytest.mark.parametrize(
    ("link", "host", "addresses", "gateways"),
    [
        ("ams-edge_ams-1", "ams-1", "10.65.1.3/31 fd00:65:1::3/127", ""),
        ("fra-edge_fra-2", "fra-edge", "10.65.2.8/31 fd00:65:2::8/127", ""),
        ("core1_ams-edge", "ams-edge", "198.51.100.1/31 2001:db8:100::1/127", ""),
        (
            "core1_control",
            "control",
            "198.51.100.17/31 2001:db8:100:1::1/127",
            "198.51.100.16 2001:db8:100:1::",
        ),
        (
            "fra-edge_fra-svc",
            "fra-svc",
            "10.50.2.10/24 fd00:50:2::10/64",
            "10.50.2.1 fd00:50:2::1",
        ),
        (
            "site1-nat_site1-c2",
            "site1-c2",
            "192.168.1.12/24 fd00:a1::12/64",
            "192.168.1.1 fd00:a1::1",
        ),
    ],
)
def test_addresses_of_the_address_plan(link: str, host: str, addresses: str, gateways: str) -> None:
    (found,) = [made for made in plan(DEPLOYMENT, LAB).links if made.name == link]
    (port,) = [end for end in found.ends if end.host == host]
    assert " ".join(map(str, port.addresses)) == addresses
    assert " ".join(map(str, port.gateways)) == gateways


def test_long_names_get_devices_that_fit_and_differ() -> None:
    first, second = device_towards("a-datacentre-far-away-1"), device_towards("a-datacentre-far-2")
    assert first != second
    assert max(len(first), len(second)) <= DEVICE_NAME_MAX
    assert device_towards("ams-1") == "ams-1"


def test_routers_forward_and_nobody_else_does() -> None:
    forwarding = {
        host.kind
        for host in plan(DEPLOYMENT, LAB).hosts
        if host.sysctls["net.ipv4.ip_forward"] == "1"
    }
    assert forwarding == {HostKind.CORE, HostKind.EDGE, HostKind.NAT}


def _faults(lab: LabSettings, deployment: Deployment = DEPLOYMENT) -> list[str]:
    return [str(fault) for fault in check(lab, deployment)]


def test_settings_that_fit_have_no_faults() -> None:
    assert _faults(LAB) == []


def test_each_kind_of_fault_is_found() -> None:
    site, other = LAB.sites
    replace = msgspec.structs.replace
    assert _faults(replace(LAB, sites=(replace(site, core="core9"), other))) == [
        "sites[0].core: 'core9' is no core; known are core1, core2"
    ]
    assert _faults(replace(LAB, uplinks=LAB.uplinks[:1])) == [
        "uplinks: edge router 'fra-edge' has no link to a core"
    ]
    wide = replace(site, wan=dual("203.0.113.0/30", "2001:db8:200::/127"))
    assert _faults(replace(LAB, sites=(wide, replace(other, wan=other.lan, lan=other.lan)))) == [
        "sites[0].wan: 203.0.113.0/30 is no /31, as a link's network has to be",
        "sites[1].wan: 192.168.2.0/24 is no /31, as a link's network has to be",
        "sites[1].wan: fd00:a2::/64 is no /127, as a link's network has to be",
        "sites[1].lan: 192.168.2.0/24 overlaps 192.168.2.0/24 of sites[1].wan",
        "sites[1].lan: fd00:a2::/64 overlaps fd00:a2::/64 of sites[1].wan",
    ]
    assert _faults(replace(LAB, clients_per_site=39)) == [
        "clients_per_site: 39 is not possible; a lab has room for 0 to 38 a site"
    ]
    core = replace(LAB.cores[0], asn=64512)
    assert _faults(replace(LAB, cores=(core, LAB.cores[1]))) == [
        "cores[0].asn: AS 64512 belongs to the deployment"
    ]
    named = replace(LAB.control, name="ams-1")
    assert _faults(replace(LAB, control=named)) == [
        "control.name: host name 'ams-1' is taken by datacentre ams"
    ]


def test_sample_is_the_documented_plan() -> None:
    edge = DEPLOYMENT.datacentres[0].edges[0]
    assert edge.links.v4 == IPv4Network("10.65.1.0/24")
    assert edge.links.v6 == IPv6Network("fd00:65:1::/64")
    assert edge.loopbacks == (IPv4Address("10.64.0.201"), IPv6Address("fd00:64::201"))
    assert isinstance(plan(DEPLOYMENT, LAB).host("core1"), Host)
