"""What edge routers are told: golden texts in tests/samples/neighbours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.metal.neighbours import ROUTERS
from components.metal.neighbours.model import edge
from tests.samples.lab_deployment import DEPLOYMENT

SAMPLES = Path(__file__).parents[3] / "samples" / "neighbours"


FRA = DEPLOYMENT.datacentres[1]
ROUTER = edge(DEPLOYMENT, FRA, FRA.edges[0])


@pytest.mark.parametrize("syntax", sorted(ROUTERS))
def test_golden_text(syntax: str) -> None:
    assert ROUTERS[syntax](ROUTER) == (SAMPLES / f"fra-edge.{syntax}").read_text()


@pytest.mark.parametrize("syntax", sorted(ROUTERS))
def test_a_node_more_adds_its_sessions_only(syntax: str) -> None:
    """So that what a network engineer has to change is what changed."""
    render = ROUTERS[syntax]
    fewer = render(replace(ROUTER, nodes=ROUTER.nodes[:1])).splitlines()
    more = render(ROUTER).splitlines()
    added = [line for line in more if line not in fewer]
    assert [line for line in fewer if line not in more] == []
    second = ROUTER.nodes[1]
    assert added
    assert all(
        any(word in line for word in (str(second.v4), str(second.v6), second.name, "node_fra_2"))
        for line in added
    )
