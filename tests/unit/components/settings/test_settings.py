from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
import yaml
from hypothesis import given, settings

from anycastle.model.codec import from_plain, to_plain
from anycastle.model.deployment import Deployment
from components.settings import SettingsError, parse

STACK = Path(__file__).parents[4] / "stacks" / "Pulumi.lab.yaml"
CONFIG = yaml.safe_load(STACK.read_text())["config"]


def faults_of(deployment: object, lab: object = None) -> dict[str, str]:
    """Path (without the key of the deployment) -> reasons, one a line."""
    with pytest.raises(SettingsError) as caught:
        parse(deployment, lab)
    found: dict[str, str] = {}
    for fault in caught.value.faults:
        path = fault.path.removeprefix("anycastle:deployment.")
        found[path] = "\n".join(filter(None, [found.get(path), fault.reason]))
    return found


def test_the_shipped_lab_is_accepted(stack: Any) -> None:
    parsed = parse(stack.deployment, stack.lab)
    assert [dc.name for dc in parsed.deployment.datacentres] == ["ams", "fra"]
    assert parsed.lab is not None
    assert [site.name for site in parsed.lab.sites] == ["site1", "site2"]


@pytest.mark.parametrize(
    ("field", "value", "where", "says"),
    [
        ("name", "Lab_1", "name", "no DNS label"),
        ("name", 7, "name", "expected text, got 7"),
        ("asn", 0, "asn", "not between 1 and 4294967294"),
        ("asn", 4294967295, "asn", "not between 1 and"),
        ("asn", 23456, "asn", "AS_TRANS"),
        ("asn", 65535, "asn", "reserved (RFC 7300)"),
        ("asn", "64512", "asn", "expected a whole number, got '64512'"),
        ("asn", 64601, "datacentres[0].edges[0].asn", "the nodes' own"),
        ("anycast.port", 0, "anycast.port", "not between 1 and 65535"),
        ("anycast.port", 4789, "anycast.port", "VXLAN"),
        ("anycast.addresses", [], "anycast.addresses", "at least one address"),
        ("anycast.addresses.0", "192.0.3.1", "anycast.addresses[0]", "none of the announced"),
        ("anycast.addresses.0", "192.0.2.300", "anycast.addresses[0]", "expected an address"),
        ("anycast.addresses.1", "192.0.2.2", "anycast.addresses[1]", "a second IPv4 address"),
        ("anycast.prefixes.0", "192.0.2.1/24", "anycast.prefixes[0]", "has host bits set"),
        ("pools.v4", "10.64.0.0/16", "loopbacks.v4", "overlaps 10.64.0.0/16 of"),
        ("pools.v4", "10.200.0.0/28", "pools.v4", "no room for clients"),
        ("pools.v4", "fd00::/64", "pools.v4", "expected an IPv4 network"),
        ("loopbacks.v4", "10.67.0.0/24", "loopbacks.v4", "of the inter-node path"),
        ("loopbacks.v4", "10.64.0.0/12", "loopbacks.v4", "larger than a /16"),
        ("datacentres", [], "datacentres", "at least one datacentre"),
        ("datacentres.1.name", "ams", "datacentres[1].name", "ams is taken by"),
        ("datacentres.1.nodes", [], "datacentres[1].nodes", "'fra' has no nodes"),
        ("datacentres.1.edges", [], "datacentres[1].edges", "no edge router"),
        ("datacentres.0.kind", "metal", "datacentres[0].metal", "missing; it says which hosts"),
        ("datacentres.0.kind", "aws", "datacentres[0].aws", "missing; it describes region"),
        ("datacentres.0.kind", "moon", "datacentres[0].kind", "not one of lab, metal, aws"),
        ("datacentres.0.routing", "brid", "datacentres[0].routing", "not one of bird, frr"),
        ("datacentres.0.rooting", "bird", "datacentres[0].rooting", "did you mean 'routing'?"),
        ("datacentres.0.xyz", 1, "datacentres[0].xyz", "unknown key; known are name, kind"),
        ("datacentres.1.nodes.0.name", "ams-1", "datacentres[1].nodes[0].name", "taken by"),
        ("datacentres.1.nodes.0.name", "ams-edge", "datacentres[1].nodes[0].name", "taken by"),
        ("datacentres.1.nodes.0.name", "a.b", "datacentres[1].nodes[0].name", "no DNS label"),
        ("datacentres.1.nodes.0.id", 1, "datacentres[1].nodes[0].id", "1 is taken by"),
        ("datacentres.1.nodes.0.id", 0, "datacentres[1].nodes[0].id", "between 1 and 127"),
        ("datacentres.1.nodes.0.id", 128, "datacentres[1].nodes[0].id", "between 1 and 127"),
        ("datacentres.1.edges.0.links.v4", "10.65.2.0/29", "datacentres[1].nodes[1].id", "and 3"),
        (
            "datacentres.1.edges.0.links.v4",
            "10.65.1.0/25",
            "datacentres[1].edges[0].links.v4",
            "overlaps 10.65.1.0/24 of anycastle:deployment.datacentres[0].edges[0].links.v4",
        ),
        (
            "datacentres.0.edges.0.loopbacks.0",
            "10.64.0.3",
            "datacentres[0].edges[0].loopbacks[0]",
            "taken by anycastle:deployment.datacentres[1].nodes[0].id",
        ),
        (
            "datacentres.0.edges.0.loopbacks.0",
            "10.63.0.3",
            "datacentres[0].edges[0].loopbacks[0]",
            "in neither of loopbacks",
        ),
        (
            "datacentres.0.edges.0.bfd",
            {"interval": 1},
            "datacentres[0].edges[0].bfd.interval",
            "10",
        ),
        ("datacentres.0.services.0", "10.50.2.0/25", "datacentres[1].services[0]", "overlaps"),
        ("control_plane.addresses", [], "control_plane.addresses", "at least one address"),
        (
            "control_plane.addresses.0",
            "10.200.0.9",
            "control_plane.addresses[0]",
            "without the VPN",
        ),
        ("control_plane.port", 65536, "control_plane.port", "not between 1 and 65535"),
        ("fabric", {"mtu": 1300}, "fabric.mtu", "leaves 1220 bytes"),
        ("client_mtu", 1421, "client_mtu", "1420 (fabric.mtu less WireGuard's 80 bytes)"),
        ("client_mtu", 1279, "client_mtu", "not between 1280"),
        ("client_keepalive", 26, "client_keepalive", "not between 1 and 25 seconds"),
        ("client_keepalive", 0, "client_keepalive", "not between 1 and 25 seconds"),
        ("health", {"rise": 0}, "health.rise", "not between 1 and 100"),
        ("health", {"hold_down_max": 1.0}, "health.hold_down_max", "below hold_down"),
        ("health", {"clock": "right"}, "health.clock", "not one of synchronised, trusted"),
        ("takeover", {"enabled": "yes"}, "takeover.enabled", "expected true or false"),
        ("takeover", {"path": "xdp"}, "takeover.path", "not one of auto, bpf, nftables"),
        ("takeover", {"clients": 10}, "takeover.clients", "not between 1000 and 1000000"),
    ],
)
def test_a_spoilt_field_is_named(
    stack: Any, field: str, value: object, where: str, says: str
) -> None:
    stack.set(field, value)
    faults = faults_of(stack.deployment, stack.lab)
    assert where in faults
    assert says in faults[where]


def test_a_missing_key_says_what_is_expected(stack: Any) -> None:
    del stack.deployment["pools"]
    assert faults_of(stack.deployment) == {"pools": "missing; expected a map with v4, v6"}


def test_a_missing_deployment_names_the_file() -> None:
    assert faults_of(None) == {"anycastle:deployment": "missing in the stack's file in stacks/"}


def test_all_faults_of_shape_come_at_once(stack: Any) -> None:
    stack.set("asn", "x")
    stack.set("anycast.prot", 1)
    stack.lab["corse"] = []
    assert set(faults_of(stack.deployment, stack.lab)) == {
        "asn",
        "anycast.prot",
        "anycastle:lab.corse",
    }


def test_all_faults_of_rules_come_at_once(stack: Any) -> None:
    stack.set("asn", 0)
    stack.set("datacentres.0.name", "fra")
    stack.set("client_keepalive", 60)
    stack.lab["sites"][0]["core"] = "core9"
    assert set(faults_of(stack.deployment, stack.lab)) == {
        "asn",
        "datacentres[1].name",
        "client_keepalive",
        "anycastle:lab.sites[0].core",
    }


def test_the_message_lists_every_fault_with_its_path(stack: Any) -> None:
    stack.set("asn", 0)
    stack.set("client_keepalive", 60)
    with pytest.raises(SettingsError) as caught:
        parse(stack.deployment, stack.lab)
    assert str(caught.value).splitlines() == [
        "the stack's configuration has 2 errors:",
        "  anycastle:deployment.asn: 0 is not between 1 and 4294967294",
        "  anycastle:deployment.client_keepalive: 60 is not between 1 and 25 seconds",
    ]


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=8,
)


def paths(document: object, prefix: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place in a document."""
    below: list[tuple[object, ...]] = []
    if isinstance(document, dict):
        below = [p for key, item in document.items() for p in paths(item, (*prefix, key))]
    elif isinstance(document, list):
        below = [p for i, item in enumerate(document) for p in paths(item, (*prefix, i))]
    return [prefix, *below] if prefix else below


@settings(max_examples=300, deadline=None)
@given(place=st.sampled_from(paths(CONFIG["anycastle:deployment"])), value=PLAIN)
def test_whatever_stands_somewhere_is_accepted_or_refused_with_a_path(
    place: tuple[Any, ...], value: object
) -> None:
    """No value in any place makes anything but settings or a list of faults."""
    document = copy.deepcopy(CONFIG["anycastle:deployment"])
    target = document
    for part in place[:-1]:
        target = target[part]
    target[place[-1]] = value
    outcome = attempt(document)
    if isinstance(outcome, SettingsError):
        assert outcome.faults
        assert all(fault.path.startswith("anycastle:") for fault in outcome.faults)
        assert all(fault.reason for fault in outcome.faults)
    else:
        assert from_plain(to_plain(outcome), Deployment) == outcome


def attempt(document: object) -> Deployment | SettingsError:
    try:
        return parse(document, CONFIG["anycastle:lab"]).deployment
    except SettingsError as error:
        return error


@settings(max_examples=200, deadline=None)
@given(ids=st.lists(st.integers(-2, 300), min_size=1, max_size=6))
def test_node_ids_are_accepted_exactly_when_unique_and_in_room(ids: list[int]) -> None:
    document = copy.deepcopy(CONFIG["anycastle:deployment"])
    document["datacentres"][0]["nodes"] = [
        {"name": f"n{i}", "id": number} for i, number in enumerate(ids)
    ]
    taken_elsewhere = {3, 4}
    fits = (
        len(set(ids)) == len(ids)
        and all(1 <= number <= 127 for number in ids)
        and not taken_elsewhere & set(ids)
    )
    assert isinstance(attempt(document), Deployment) == fits
