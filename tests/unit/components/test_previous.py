"""What the policy pack is told of the last `up`."""

from __future__ import annotations

from components.previous import nodes


def test_nodes_with_their_places_and_machines() -> None:
    hosts = [
        {"name": "dub-1", "kind": "node", "place": "dub", "address": "192.0.2.1"},
        {"name": "control-1", "kind": "control", "place": ""},
        {"name": "fra-1", "kind": "node", "place": "fra"},
    ]
    assert nodes({"hosts": hosts, "machines": {"dub-1": "c6in.large"}}) == [
        {"name": "dub-1", "place": "dub", "machine": "c6in.large"},
        {"name": "fra-1", "place": "fra", "machine": ""},
    ]


def test_before_the_first_up_there_are_none() -> None:
    assert nodes({}) == []
