"""Faults of datacentres of one's own, each with its path."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from components.settings import SettingsError, parse

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8n9AvKTXm1gDbnNgFt0LDbOcPUbLVQKDkBkmLP2Yd5"


def host(address: str, **more: Any) -> dict[str, Any]:
    return {"address": address, "host_key": HOST_KEY, "nics": ["ens1f0"], **more}


def document() -> dict[str, Any]:
    return {
        "name": "metal",
        "asn": 64512,
        "anycast": {"addresses": ["192.0.2.1"], "prefixes": ["192.0.2.0/24"]},
        "pools": {"v4": "10.200.0.0/16", "v6": "fd00:200::/64"},
        "loopbacks": {"v4": "10.64.0.0/24", "v6": "fd00:64::/64"},
        "control_plane": {"addresses": ["198.51.100.17"]},
        "metal": {"control": {"address": "203.0.113.5", "host_key": HOST_KEY, "user": "ops"}},
        "datacentres": [
            {
                "name": "fra",
                "kind": "metal",
                "edges": [
                    {
                        "name": "fra-edge",
                        "asn": 64602,
                        "links": {"v4": "10.65.2.0/24", "v6": "fd00:65:2::/64"},
                    }
                ],
                "nodes": [{"name": "fra-1", "id": 1}, {"name": "fra-2", "id": 2}],
                "metal": {
                    "hosts": {"fra-1": host("203.0.113.11"), "fra-2": host("node-2.example.net")}
                },
            }
        ],
    }


def faults(change: Any) -> list[str]:
    settings = copy.deepcopy(document())
    change(settings)
    with pytest.raises(SettingsError) as raised:
        parse(settings)
    return [str(fault).removeprefix("anycastle:deployment.") for fault in raised.value.faults]


def test_it_is_good_as_it_stands() -> None:
    settings = parse(document())
    metal = settings.deployment.datacentres[0].metal
    assert metal is not None
    assert metal.hosts["fra-1"].nics == ("ens1f0",)
    assert settings.lab is None


def fra(settings: dict[str, Any]) -> dict[str, Any]:
    datacentre: dict[str, Any] = settings["datacentres"][0]
    return datacentre


def hosts(settings: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = fra(settings)["metal"]["hosts"]
    return found


CASES: dict[str, tuple[Any, str]] = {
    "no hosts": (
        lambda s: fra(s).pop("metal"),
        "datacentres[0].metal: missing; it says which hosts the nodes are",
    ),
    "a node without host": (
        lambda s: hosts(s).pop("fra-2"),
        "datacentres[0].metal.hosts.fra-2: missing; which host is node 'fra-2'?",
    ),
    "a host without node": (
        lambda s: hosts(s).update({"fra-3": host("203.0.113.13")}),
        "datacentres[0].metal.hosts.fra-3: there is no node of this name in the datacentre",
    ),
    "a host twice": (
        lambda s: hosts(s)["fra-2"].update(address="203.0.113.11"),
        (
            "datacentres[0].metal.hosts.fra-2: ('203.0.113.11', 22) is taken by "
            "anycastle:deployment.datacentres[0].metal.hosts.fra-1"
        ),
    ),
    "no uplink": (
        lambda s: hosts(s)["fra-1"].update(nics=[]),
        (
            "datacentres[0].metal.hosts.fra-1.nics: one device for each edge router, in the order "
            "fra-edge"
        ),
    ),
    "our own device": (
        lambda s: hosts(s)["fra-1"].update(nics=["wg0"]),
        "datacentres[0].metal.hosts.fra-1.nics[0]: 'wg0' can't be the name of an uplink",
    ),
    "a long name": (
        lambda s: hosts(s)["fra-1"].update(nics=["sixteen-letters-"]),
        (
            "datacentres[0].metal.hosts.fra-1.nics[0]: 'sixteen-letters-' can't be the name of an "
            "uplink"
        ),
    ),
    "no base64": (
        lambda s: hosts(s)["fra-1"].update(host_key="ssh-ed25519 !!"),
        (
            "datacentres[0].metal.hosts.fra-1.host_key: its second word is not base64; see "
            "`ssh-keyscan -t ed25519 HOST`"
        ),
    ),
    "another kind of key": (
        lambda s: hosts(s)["fra-1"].update(host_key="ssh-dss AAAA"),
        (
            "datacentres[0].metal.hosts.fra-1.host_key: begins with none of ssh-ed25519, "
            "ecdsa-sha2-nistp256, ssh-rsa; see `ssh-keyscan -t ed25519 HOST`"
        ),
    ),
    "a strange user": (
        lambda s: s["metal"]["control"].update(user="Ops Team"),
        "metal.control.user: 'Ops Team' is no name of a user",
    ),
    "a network as address": (
        lambda s: s["metal"]["control"].update(address="203.0.113.5/24"),
        "metal.control.address: '203.0.113.5/24' is no address and no host name",
    ),
    "front ends": (
        lambda s: fra(s)["metal"].update(entry="ipvs"),
        "datacentres[0].metal.entry: ipvs and its front ends are not available yet; use ecmp",
    ),
    "in a lab": (
        lambda s: fra(s).update(kind="lab"),
        "datacentres[0].metal: a datacentre of kind lab has none",
    ),
}


@pytest.mark.parametrize(("change", "fault"), CASES.values(), ids=CASES)
def test_a_fault_names_its_field(change: Any, fault: str) -> None:
    assert fault in faults(change)
