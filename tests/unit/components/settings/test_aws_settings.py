"""Faults of settings in AWS, each with its path and its reason."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from components.settings import SettingsError, files, parse

SAMPLE = files.others("", Path(__file__).parents[4] / "stacks")["sample"]["anycastle:deployment"]
IMAGE = "ami-0123456789abcdef0"


@pytest.fixture
def document() -> dict[str, Any]:
    """The sample's deployment without its datacentre outside of AWS."""
    found: dict[str, Any] = copy.deepcopy(SAMPLE)
    del found["datacentres"][1]
    return found


def faults(document: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse(document)
    return [str(fault).removeprefix("anycastle:deployment.") for fault in caught.value.faults]


def put(document: dict[str, Any], path: str, value: object) -> None:
    """Set a field; path like `datacentres.0.aws.zones`. The value `...` removes it."""
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    target: Any = document
    for part in parents:
        target = target[part]
    if value is ...:
        del target[last]
    else:
        target[last] = value


def test_the_sample_is_good(document: dict[str, Any]) -> None:
    assert parse(document).deployment.aws is not None


AWS = "datacentres.0.aws"


@pytest.mark.parametrize(
    ("field", "value", "fault"),
    [
        ("aws", ..., "aws: missing; with datacentres in AWS it names account and home region"),
        ("aws.account", "1234", "aws.account: '1234' is not an account id of 12 digits"),
        ("aws.region", "Ireland", "aws.region: 'Ireland' is not a region like eu-west-1"),
        ("aws.tags", {"Name": "x"}, "aws.tags.Name: this tag is not yours to set"),
        ("aws.tags", {"aws:x": "x"}, "aws.tags.aws:x: this tag is not yours to set"),
        ("aws.ssh", {}, "aws.ssh.ranges: name the networks of operators and of the machine"),
        ("aws.ssh.ranges", ["0.0.0.0/0"], "aws.ssh.ranges[0]: 0.0.0.0/0 is (nearly) everybody"),
        ("aws.monitoring", ["0.0.0.0/1"], "aws.monitoring[0]: 0.0.0.0/1 is (nearly) everybody"),
        ("aws.ssh.jump.port", 0, "aws.ssh.jump.port: 0 is not between 1 and 65535"),
        ("control_plane.names", [], "aws.control.names"),
        ("aws.control.zones", ["eu-west-1a"], "aws.control.zones: 1 zones; 2 or 3 survive"),
        ("aws.control.network", "10.10.0.0/25", "aws.control.network: 10.10.0.0/25 has to be a /16"),
        ("aws.control.network", "10.20.4.0/22", "datacentres[0].aws.network: 10.20.0.0/16 overlaps"),
        ("aws.control.image", "debian", "aws.control.image: 'debian' is not an image like ami-"),
        ("aws.control.flow_log_days", 2, "aws.control.flow_log_days: 2 is none of 0, 1, 3, 5"),
        ("aws.control.database.storage", 5, "aws.control.database.storage: 5 is not between 20"),
        ("aws.control.database.backup_days", 0, "aws.control.database.backup_days: 0 is not"),
        ("aws.control.database.instance_class", "t4g.small",
         "aws.control.database.instance_class: 't4g.small' is none of RDS"),
        ("aws.audit.retention_days", 0, "aws.audit.retention_days: 0 is not between 1"),
        ("aws.audit.mode", "governance", "aws.audit.mode: 'governance' is not one of GOVERNANCE,"),
        (AWS, ..., "datacentres[0].aws: missing; it describes region, zones and entry"),
        (f"{AWS}.zones", ["eu-west-1a", "eu-west-1a"],
         "datacentres[0].aws.zones[1]: eu-west-1a is taken by"),
        (f"{AWS}.zones", ["eu-west-1a", "us-east-1b"],
         "datacentres[0].aws.zones[1]: 'us-east-1b' is no zone of eu-west-1"),
        (f"{AWS}.network", "10.20.0.0/24", "datacentres[0].aws.network: 10.20.0.0/24 has to be"),
        (f"{AWS}.network", "10.64.0.0/16",
         "datacentres[0].aws.network: 10.64.0.0/16 overlaps 10.64.0.0/24 of"),
        (f"{AWS}.network", "10.67.0.0/16",
         "datacentres[0].aws.network: 10.67.0.0/16 overlaps 10.67.0.0/16 of the inter-node path"),
        (f"{AWS}.images", {"a": IMAGE, "c": IMAGE},
         "datacentres[0].aws.images.c: images are called a and b"),
        (f"{AWS}.images", {"a": "jessie", "b": IMAGE},
         "datacentres[0].aws.images.a: 'jessie' is not an image like"),
        (f"{AWS}.images", {"b": IMAGE}, "datacentres[0].aws.image: 'a' is none of the images b"),
        (f"{AWS}.images", {"a": IMAGE},
         "datacentres[0].nodes[1].image: 'b' is none of the images a"),
        (f"{AWS}.instance_type", "big", "datacentres[0].aws.instance_type: 'big' is not an"),
        (f"{AWS}.instance_types", {"b": "big"},
         "datacentres[0].aws.instance_types.b: 'big' is not an instance type like c6in.large"),
        (f"{AWS}.instance_types", {"c": "c6in.large"},
         "datacentres[0].aws.instance_types.c: 'c' is none of the images a, b"),
        (f"{AWS}.volume", 1, "datacentres[0].aws.volume: 1 is not between 8"),
        (f"{AWS}.flow_log_days", 2, "datacentres[0].aws.flow_log_days: 2 is none of 0, 1, 3"),
        (f"{AWS}.route_server.asn", 64512,
         "datacentres[0].aws.route_server.asn: AS 64512 is the nodes' own"),
        (f"{AWS}.route_server.asn", 23456,
         "datacentres[0].aws.route_server.asn: AS 23456 is AS_TRANS"),
        (f"{AWS}.route_server.endpoints_per_zone", 3,
         "datacentres[0].aws.route_server.endpoints_per_zone: 3 is not between 1 and 2"),
        (f"{AWS}.entry", "alb", "datacentres[0].aws.entry: 'alb' is not one of accelerator,"),
        ("datacentres.0.nodes.0.zone", "",
         "datacentres[0].nodes[0].zone: 'nothing' is none of the zones eu-west-1a, eu-west-1b"),
        ("datacentres.0.nodes.0.id", 0, "datacentres[0].nodes[0].id: 0 is not between 1 and 254"),
        ("fabric", {"mtu": 9100}, "fabric.mtu: 9100 is more than 9001, the MTU inside a VPC"),
    ],
)  # fmt: skip
def test_a_spoilt_field_is_named(
    document: dict[str, Any], field: str, value: object, fault: str
) -> None:
    put(document, field, value)
    if field == "control_plane.names":
        put(document, "control_plane.addresses", ["198.51.99.1"])
        fault = "control_plane.names: needs a DNS name: the load balancer of the API"
    assert [found for found in faults(document) if found.startswith(fault)]


def test_a_keepalive_that_load_balancers_forget(document: dict[str, Any]) -> None:
    document["client_keepalive"] = 30
    assert faults(document) == ["client_keepalive: 30 is not between 1 and 25 seconds"]


def test_jumbo_frames_stay_inside(document: dict[str, Any]) -> None:
    document["fabric"]["mtu"] = 9001
    assert parse(document).deployment.fabric.mtu == 9001
    document["client_mtu"] = 8000
    (fault,) = faults(document)
    assert fault.startswith("client_mtu: 8000 makes packets of 8060 bytes; load balancers")


# Which entry goes with what ------------------------------------------------------------


def no_accelerator(document: dict[str, Any]) -> None:
    del document["aws"]["accelerator"]


def second_region(document: dict[str, Any]) -> None:
    more = copy.deepcopy(document["datacentres"][0])
    more |= {"name": "iad", "services": []}
    more["nodes"] = [
        {"name": "iad-1", "id": 21, "zone": "us-east-1a"},
        {"name": "iad-2", "id": 22, "zone": "us-east-1b"},
    ]
    more["aws"] |= {
        "region": "us-east-1",
        "network": "10.30.0.0/16",
        "zones": ["us-east-1a", "us-east-1b"],
    }
    document["datacentres"].append(more)


def two_regions_with_nlbs(document: dict[str, Any]) -> None:
    second_region(document)
    for datacentre in document["datacentres"]:
        datacentre["aws"]["entry"] = "nlb"


def one_region_without_it(document: dict[str, Any]) -> None:
    second_region(document)
    document["datacentres"][1]["aws"]["entry"] = "route_server"


def metal_without_byoip(document: dict[str, Any]) -> None:
    document["datacentres"].append(copy.deepcopy(SAMPLE["datacentres"][1]))
    document["aws"]["accelerator"] = {}


def route_server_without_one(document: dict[str, Any]) -> None:
    document["datacentres"][0] |= {"services": []}
    document["datacentres"][0]["aws"] |= {"entry": "route_server", "route_server": None}


def services_without_a_way_back(document: dict[str, Any]) -> None:
    document["datacentres"][0]["aws"]["route_server"] = None


def a_zone_without_a_node(document: dict[str, Any]) -> None:
    document["datacentres"][0]["nodes"][1]["zone"] = "eu-west-1a"


def ipv6_through_it(document: dict[str, Any]) -> None:
    document["anycast"]["addresses"].append("2001:db8:a::1")
    document["anycast"]["prefixes"].append("2001:db8:a::/48")


def edges_in_aws(document: dict[str, Any]) -> None:
    document["datacentres"][0]["edges"] = copy.deepcopy(SAMPLE["datacentres"][1]["edges"])


def too_many_routes(document: dict[str, Any]) -> None:
    document["datacentres"][0]["nodes"] = [
        {"name": f"dub-{n}", "id": n, "zone": f"eu-west-1{'ab'[n % 2]}"} for n in range(1, 101)
    ]


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (
            no_accelerator,
            (
                "datacentres[0].aws.entry: the deployment has no accelerator; give the global stack "
                "one (deployment.aws.accelerator), or choose another entry"
            ),
        ),
        (
            two_regions_with_nlbs,
            (
                "datacentres[0].aws.entry: an NLB's addresses belong to one region, and clients know "
                "one address: with 2 datacentres the entry is accelerator or route_server"
            ),
        ),
        (
            one_region_without_it,
            (
                "datacentres[0].aws.entry: 'iad' has entry route_server, and could not serve the "
                "accelerator's addresses; all datacentres in AWS have the accelerator, or none"
            ),
        ),
        (
            metal_without_byoip,
            (
                "datacentres[0].aws.entry: 'fra' is not in AWS, and AWS alone announces an "
                "accelerator's own addresses; with your prefix (accelerator.byoip: true) both can "
                "announce it"
            ),
        ),
        (
            route_server_without_one,
            (
                "datacentres[0].aws.route_server: missing; with entry route_server the nodes announce "
                "to it, and nothing else brings packets to them"
            ),
        ),
        (
            services_without_a_way_back,
            (
                "datacentres[0].services: services answer to clients' addresses, and only a Route "
                "Server tells the VPC which node those are behind: give the datacentre "
                "aws.route_server"
            ),
        ),
        (
            a_zone_without_a_node,
            (
                "datacentres[0].aws.zones[1]: no node is in eu-west-1b, and without cross_zone its "
                "load balancer node would have nobody to send packets to; add a node or set cross_zone"
            ),
        ),
        (
            ipv6_through_it,
            "anycast.addresses[1]: 2001:db8:a::1: entry accelerator carries IPv4 only",
        ),
        (
            edges_in_aws,
            (
                "datacentres[0].edges: has to be empty in AWS: the Route Server's endpoints are the "
                "edges"
            ),
        ),
        (
            too_many_routes,
            (
                "datacentres[0].aws.route_server: 100 nodes announce 102 routes; a route table takes "
                "100 from a Route Server"
            ),
        ),
    ],
)
def test_the_wrong_combination_says_why(
    document: dict[str, Any], change: Callable[[dict[str, Any]], None], fault: str
) -> None:
    change(document)
    found = faults(document)
    assert found[0] == fault
    # Of another region at most the same.
    assert {one.partition(": ")[2] for one in found} == {fault.partition(": ")[2]}


def test_the_right_combinations(document: dict[str, Any]) -> None:
    second_region(document)
    assert len(parse(document).deployment.datacentres) == 2
    for datacentre in document["datacentres"]:
        datacentre["aws"]["entry"] = "route_server"
    ipv6_through_it(document)
    assert len(parse(document).deployment.anycast.addresses) == 2


def test_zones_and_images_are_of_aws(document: dict[str, Any]) -> None:
    document["datacentres"].append(copy.deepcopy(SAMPLE["datacentres"][1]))
    document["datacentres"][1]["nodes"][0]["zone"] = "eu-west-1a"
    document["datacentres"][1]["nodes"][1]["image"] = "b"
    document["datacentres"][1]["aws"] = document["datacentres"][0]["aws"]
    assert faults(document) == [
        "datacentres[1].aws: a datacentre of kind metal has none",
        "datacentres[1].nodes[0].zone: nodes of kind metal have none",
        "datacentres[1].nodes[1].image: nodes of kind metal have none",
        *[found for found in faults(document) if "overlaps" in found],
    ]
