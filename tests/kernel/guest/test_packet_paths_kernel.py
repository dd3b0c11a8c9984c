"""Both packet paths on a node's own kernel: Debian's, older than the machine's of the tests.

Of the contract, what depends on the kernel: hooks, redirects, sets, rings. The guest may be
emulated, and then each world takes it some ten seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from anycastle.agent.takeover.choose import candidates, choose
from anycastle.agent.takeover.nft.path import NftPath
from tests.support.bpf_paths import bpf_paths
from tests.support.namespaces import namespaces
from tests.support.node import node_spec
from tests.support.packet_path_contract import PacketPathContract
from tests.support.path_world import FABRIC, PathWorld, path_world


@pytest.fixture(params=["bpf", "nftables"])
def world(request: pytest.FixtureRequest) -> Iterator[PathWorld]:
    if request.param == "nftables":
        with path_world(NftPath.for_node) as made:
            yield made
    else:
        with bpf_paths() as make, path_world(make) as made:
            yield made


class TestPathsOnThisKernel:
    contract = PacketPathContract

    test_relayed = contract.test_foreign_data_is_reported_and_reaches_its_owner
    test_full_size = contract.test_a_packet_of_full_size_is_relayed
    test_forgotten = contract.test_forgotten_indices_are_foreign_until_negotiated_anew
    test_rate = contract.test_an_endpoint_is_reported_once_a_second
    test_junk = contract.test_junk_never_gets_out_of_the_kernel
    test_restart = contract.test_everything_survives_a_restart
    test_replugged = contract.test_a_device_that_was_made_again_is_hooked_again


def test_bpf_is_what_a_node_chooses_here() -> None:
    with namespaces("choose") as (space,), space.entered():
        space.batch(
            "link add up0 type veth peer up1", f"link add {FABRIC.device} type veth peer far0"
        )
        path = choose(["up0"], FABRIC.device, candidates(node_spec()))
        try:
            assert path.kind == "bpf"
        finally:
            path.remove()
