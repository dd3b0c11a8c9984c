"""The sample: everything in one stack, a datacentre in AWS and one of one's own."""

from __future__ import annotations

from typing import Any

import pytest

from tests.program.arguments import faults
from tests.program.aws.conftest import Region
from tests.program.conftest import Config, Run, shipped
from tests.program.graph import Graph, document


def with_key(config: Config) -> Config:
    """With the key that logs in on hosts that exist: a secret, so no file is shipped with it."""
    return config | {"anycastle:sshKey": "the key of metal"}


@pytest.fixture(scope="module")
def sample(run: Run) -> Graph:
    return run(with_key(shipped("sample")), stack="sample")


@pytest.fixture(scope="module")
def metal(region: Region) -> Graph:
    return region("metal-fra", with_key(shipped("metal-fra")))


def clear_text(value: Any) -> str:
    """What is registered outside of secrets."""
    if isinstance(value, dict):
        return "" if set(value) == {"secret"} else " ".join(map(clear_text, value.values()))
    return " ".join(map(clear_text, value)) if isinstance(value, list) else str(value)


def test_one_stack_makes_it_all(sample: Graph) -> None:
    for name, kind in [
        ("accelerator", "globalaccelerator/accelerator"),
        ("database", "rds/instance"),
        ("dub-1", "ec2/instance"),
        ("control-1", "ec2/instance"),
    ]:
        sample.named(name, kind)  # asserts that it is there
    sample.named("fra-1/agent")


def test_its_arguments_are_what_the_sdk_knows(sample: Graph) -> None:
    assert faults(sample) == []


def test_a_preview_knows_as_much_as_there_is_to_know(run: Run, sample: Graph) -> None:
    before = run(with_key(shipped("sample")), stack="sample", preview=True)
    assert set(before.resources) == set(sample.resources)


def test_nodes_of_both_kinds_know_each_other(sample: Graph) -> None:
    peers = {peer["name"]: peer for peer in document(sample.named("dub-1/peers"), "PEERS")}
    assert "underlay" not in peers["fra-1"]
    # Beyond the VPC a node in AWS is where its instance is.
    peers = {peer["name"]: peer for peer in document(sample.named("fra-1/peers"), "PEERS")}
    assert peers["dub-1"]["underlay"] == "10.20.0.38"


def test_hosts_are_reached_through_the_jump_host(sample: Graph) -> None:
    connection = sample.named("dub-1/install").plain("connection")
    assert connection["host"] == "10.20.0.38"
    assert connection["proxy"]["host"] == "jump.example.net"
    assert connection["proxy"]["hostKey"].startswith("ssh-ed25519 ")


def test_metal_is_not_reached_through_it(sample: Graph) -> None:
    connection = sample.named("fra-1/install").plain("connection")
    assert connection["host"] == "203.0.113.11"
    assert "proxy" not in connection


def test_no_secret_is_registered_in_the_clear(sample: Graph) -> None:
    secrets = ["private_key of", "secret of secrets/operator-token", "join_token of"]
    for registration in sample.resources.values():
        text = clear_text(registration.inputs)
        assert not [secret for secret in secrets if secret in text], registration.urn


def test_metal_beside_aws_takes_its_secrets_from_the_global_stack(metal: Graph) -> None:
    assert not [one for one in metal.resources.values() if one.type.startswith("aws:")]
    carried = metal.named("fra-1/secrets")
    assert carried.is_secret("stdin")
    # The text of `GLOBAL`, as a shell quotes it.
    assert "s private key" in carried.plain("stdin")


def test_metal_knows_the_nodes_of_every_region(metal: Graph) -> None:
    peers = {peer["name"] for peer in document(metal.named("fra-1/peers"), "PEERS")}
    assert {"dub-1", "dub-3", "iad-2", "fra-2"} <= peers
