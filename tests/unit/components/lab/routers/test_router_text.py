"""The routers' configuration as whole files, as the daemons get them."""

from __future__ import annotations

from pathlib import Path

import pytest

from anycastle.model.deployment import Routing
from components.lab.routers import edge_peer
from components.lab.routing import node_neighbour
from components.lab.settings import LabSettings
from components.lab.topology import plan
from tests.samples.lab_deployment import DEPLOYMENT

GOLDEN = Path(__file__).with_name("golden")
FILES = {
    "core1.bird.conf": ("core1", "/etc/bird/bird.conf"),
    "ams-edge.bird.conf": ("ams-edge", "/etc/bird/bird.conf"),
    "fra-edge.frr.conf": ("fra-edge", "/etc/frr/base.conf"),
}
BLOCKS = {"ams-1.bird.conf": (0, Routing.BIRD), "fra-1.frr.conf": (1, Routing.FRR)}


@pytest.mark.parametrize("name", FILES)
def test_router(name: str) -> None:
    host, path = FILES[name]
    (text,) = [
        file.text for file in plan(DEPLOYMENT, LabSettings()).host(host).files if file.path == path
    ]
    assert text == (GOLDEN / name).read_text()


@pytest.mark.parametrize("name", BLOCKS)
def test_block_of_a_node(name: str) -> None:
    number, routing = BLOCKS[name]
    datacentre = DEPLOYMENT.datacentres[number]
    edge = datacentre.edges[0]
    neighbour = node_neighbour(DEPLOYMENT, edge, datacentre.nodes[0])
    assert edge_peer.block(routing, edge.asn, neighbour) == (GOLDEN / name).read_text()


def test_every_edge_carries_the_script_that_blocks_are_given_to() -> None:
    for host in ("ams-edge", "fra-edge"):
        files = {file.path: file for file in plan(DEPLOYMENT, LabSettings()).host(host).files}
        script = files[edge_peer.SCRIPT_FILE]
        assert script.mode == 0o755
        assert script.text.startswith("#!/bin/sh\n")
        assert edge_peer.set_command("n")[0] == script.path
