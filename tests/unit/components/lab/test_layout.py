"""Names and numbers of a lab on the machine."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

import pytest

from components.lab.layout import CHECKOUT, Layout, Management


def test_management_network_of_an_index() -> None:
    management = Management(7)
    assert management.network == IPv4Network("10.213.7.0/24")
    assert management.gateway == IPv4Interface("10.213.7.1/24")
    assert management.address(128) == IPv4Address("10.213.7.128")
    assert management.bridge == "acbr-7"
    assert management.port(254) == "ac7-254"


def test_device_names_fit_the_kernel_at_the_largest_index() -> None:
    management = Management(255)
    assert management.network == IPv4Network("10.213.255.0/24")
    assert max(len(management.bridge), len(management.port(254))) <= 15


def test_a_lab_lives_in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ANYCASTLE_LAB_DIR", raising=False)
    layout = Layout.of("lab")
    assert layout.host("ams-1") == CHECKOUT / ".lab/lab/hosts/ams-1"
    assert layout.netns("ams-1") == "ac-lab-ams-1"


def test_the_environment_may_put_it_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANYCASTLE_LAB_DIR", "/somewhere/mine")
    assert Layout.of("mine").directory == Path("/somewhere/mine")
    assert Layout.of("other").directory == CHECKOUT / ".lab/other"
    monkeypatch.setenv("ANYCASTLE_LAB_DIR", ".lab/mine")
    assert Layout.of("mine").directory == CHECKOUT / ".lab/mine"


@pytest.mark.parametrize("name", ["", "-a", "A", "a/b", "../a", "a" * 32])
def test_names_that_no_lab_can_have(name: str) -> None:
    with pytest.raises(ValueError, match="is no name for a lab"):
        Layout(name, Path("/"))
