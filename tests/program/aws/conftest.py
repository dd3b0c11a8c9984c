"""Region stacks under mocks, as they are shipped or changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.program.conftest import Config, Run, shipped
from tests.program.graph import Graph

GLOBAL = {
    "api": "https://api.vpn.example.net:8443",
    "control_ca": "the CA's certificate",
    "operator_token": "the operator's token",
    "service_key": "the service's private key",
    "aws_login_key": "the private log-in key",
    "aws_login_public_key": "ssh-ed25519 AAAA bootstrap",
    "aws_listener": "arn of the listener",
    "aws_api_callers": "pl-api",
    "aws_service_key_version": "version 1",
    "aws_key_id": "mrk-1",
}
DUBLIN = {"networks": {"dub": {"vpc": "vpc-dub", "table": "rtb-dub"}}}
OUTPUTS: Mapping[str, Mapping[str, Any]] = {"global": GLOBAL, "aws-eu-west-1": DUBLIN}
"""What the stacks said that were brought up before."""
STACKS = ("global", "aws-eu-west-1", "aws-us-east-1", "metal-fra")

Region = Callable[..., Graph]


@pytest.fixture(scope="session")
def region(run: Run) -> Region:
    """Runs a region's stack. changed: its configuration. alone: it is the only datacentre."""

    def program(
        stack: str,
        changed: Config | None = None,
        *,
        alone: bool = False,
        preview: bool = False,
        outputs: Mapping[str, Mapping[str, Any]] = OUTPUTS,
    ) -> Graph:
        names = [name for name in STACKS if name != stack and (name == "global" or not alone)]
        return run(
            shipped(stack) if changed is None else changed,
            stack=stack,
            preview=preview,
            others={name: shipped(name) for name in names},
            outputs=outputs,
        )

    return program


@pytest.fixture(scope="session")
def dublin(region: Region) -> Graph:
    return region("aws-eu-west-1")


@pytest.fixture(scope="session")
def virginia(region: Region) -> Graph:
    return region("aws-us-east-1")


@pytest.fixture
def config() -> Config:
    """Dublin's configuration, free to be changed."""
    return shipped("aws-eu-west-1")


def with_entry(config: Config, entry: str) -> Config:
    config["anycastle:datacentre"]["aws"]["entry"] = entry
    return config


@pytest.fixture(scope="session")
def by_nlb(region: Region) -> Graph:
    return region("aws-eu-west-1", with_entry(shipped("aws-eu-west-1"), "nlb"), alone=True)


@pytest.fixture(scope="session")
def by_route_server(region: Region) -> Graph:
    entry = with_entry(shipped("aws-eu-west-1"), "route_server")
    return region("aws-eu-west-1", entry, alone=True)
