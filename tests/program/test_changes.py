"""What a change of the stack file touches: exactly what it says, and nothing else."""

from __future__ import annotations

import json
from typing import Any

from tests.program.conftest import Config, Run
from tests.program.graph import Graph, difference, document


def nodes(config: Config, datacentre: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = config["anycastle:deployment"]["datacentres"][datacentre]["nodes"]
    return found


NEW_NODE = {
    "ams-3",
    "ams-3/disk",
    "ams-edge_ams-3",
    "ams-edge/peers/ams-3",
    "ams-3/runtime",
    "ams-3/bundle",
    "ams-3/install",
    "ams-3/join-token",
    "ams-3/secrets",
    "ams-3/agent",
    "ams-3/roll",
    "ams-3/peers",
}
OTHERS = {f"{name}/peers" for name in ("ams-1", "ams-2", "fra-1", "fra-2")}


def told(graph: Graph, name: str) -> dict[str, str]:
    """A node's peers and what it is told of each: a line of the difference that is shown."""
    peers = document(graph.named(f"{name}/peers"), "PEERS")
    return {peer["name"]: json.dumps(peer) for peer in peers}


def test_the_same_file_is_the_same_graph(run: Run, config: Config, lab: Graph) -> None:
    assert difference(lab, run(config)) == (set(), set(), set())


def test_a_new_node_is_itself_and_a_peer_of_the_others(
    run: Run, config: Config, lab: Graph
) -> None:
    nodes(config, 0).append({"name": "ams-3", "id": 9})
    after = run(config)
    assert difference(lab, after) == (NEW_NODE, set(), OTHERS)
    for other in ("ams-1", "fra-2"):
        before, now = told(lab, other), told(after, other)
        assert now.keys() - before.keys() == {"ams-3"}
        assert before.items() <= now.items()


def test_a_new_node_in_front_of_the_others_moves_none(run: Run, config: Config, lab: Graph) -> None:
    nodes(config, 0).insert(0, {"name": "ams-3", "id": 9})
    assert difference(lab, run(config)) == (NEW_NODE, set(), OTHERS)


def test_the_order_of_nodes_is_nothing_to_their_peers(run: Run, config: Config, lab: Graph) -> None:
    nodes(config, 0).reverse()
    _, _, changed = difference(lab, run(config))
    assert not [name for name in changed if name.endswith("/peers")]


def test_a_node_that_leaves_is_no_peer_of_the_others(run: Run, config: Config) -> None:
    nodes(config, 0).append({"name": "ams-3", "id": 9})
    before = run(config)
    nodes(config, 0).pop()
    assert difference(before, run(config)) == (set(), NEW_NODE, OTHERS)


def test_another_daemon_is_one_command_of_that_node(run: Run, config: Config, lab: Graph) -> None:
    nodes(config, 0)[0]["routing"] = "frr"
    assert difference(lab, run(config)) == (set(), set(), {"ams-1/agent", "ams-1/roll"})


def test_a_health_setting_reaches_the_agents_only(run: Run, config: Config, lab: Graph) -> None:
    config["anycastle:deployment"]["health"] = {"rise": 5}
    names = ("ams-1", "ams-2", "fra-1", "fra-2")
    changed = {f"{name}/{part}" for name in names for part in ("agent", "roll")}
    assert difference(lab, run(config)) == (set(), set(), changed)


def test_what_clients_are_told_reaches_api_and_clients(
    run: Run, config: Config, lab: Graph
) -> None:
    config["anycastle:deployment"]["client_keepalive"] = 20
    clients = {f"site{site}-c{n}/enrolment" for site in (1, 2) for n in (1, 2)}
    assert difference(lab, run(config)) == (set(), set(), {"control/api"} | clients)


def test_more_clients_are_more_clients(run: Run, config: Config, lab: Graph) -> None:
    config["anycastle:lab"]["sites"][0]["clients"] = 3
    added, gone, changed = difference(lab, run(config))
    assert {"site1-c3", "site1-c3/enrolment", "site1-c3/tunnel"} <= added
    assert all("site1-c3" in name for name in added)
    assert (gone, changed) == (set(), set())


def test_a_datacentre_more_is_its_own_resources_and_more_peers(
    run: Run, config: Config, lab: Graph
) -> None:
    deployment = config["anycastle:deployment"]
    deployment["datacentres"].append(
        {
            "name": "lon",
            "kind": "lab",
            "edges": [
                {
                    "name": "lon-edge",
                    "asn": 64603,
                    "links": {"v4": "10.65.3.0/24", "v6": "fd00:65:3::/64"},
                    "loopbacks": ["10.64.0.203", "fd00:64::203"],
                }
            ],
            "nodes": [{"name": "lon-1", "id": 5}],
        }
    )
    config["anycastle:lab"]["uplinks"].append(
        {
            "edge": "lon-edge",
            "core": "core1",
            "network": {"v4": "198.51.100.6/31", "v6": "2001:db8:100::6/127"},
        }
    )
    added, gone, changed = difference(lab, run(config))
    assert gone == set()
    assert all("lon" in name for name in added)
    # The core has a new neighbour, the other nodes a peer; nothing else of theirs differs.
    of_nodes = tuple(name.removesuffix("peers") for name in OTHERS)
    assert {name for name in changed if name.startswith(of_nodes)} == OTHERS
