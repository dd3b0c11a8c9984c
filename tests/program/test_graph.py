"""What the program registers for the shipped lab."""

from __future__ import annotations

from typing import Any

import pytest

from tests.program.conftest import LAB, ProgramFailed, Run
from tests.program.graph import Graph, clear, document

NODES = ["ams-1", "ams-2", "fra-1", "fra-2"]
COMMAND = "command:remote:Command"


def test_every_resource_but_the_tops_has_a_parent_that_is_registered(lab: Graph) -> None:
    tops = {r.name for r in lab.resources.values() if r.parent not in lab.resources}
    assert tops == {
        "lab",
        "secrets",
        "control",
        "ams",
        "fra",
        "site1-c1",
        "site1-c2",
        "site2-c1",
        "site2-c2",
    }


def test_a_node_is_a_child_of_its_datacentre_and_parent_of_all_its_own(lab: Graph) -> None:
    node = lab.named("ams-1", "index:Node")
    assert lab.resources[node.parent].name == "ams"
    children = {r.name for r in lab.resources.values() if r.parent == node.urn}
    assert {
        "ams-1",
        "ams-1/runtime",
        "ams-1/join-token",
        "ams-1/secrets",
        "ams-1/agent",
        "ams-1/roll",
        "ams-1/peers",
    } <= children


def test_every_host_of_the_lab_is_in_the_inventory(lab: Graph) -> None:
    hosts = {host["name"]: host for host in lab.outputs["hosts"]}
    made = {r.name for r in lab.resources.values() if r.type.endswith("/lab:Host")}
    assert set(hosts) == made
    assert {hosts[name]["kind"] for name in NODES} == {"node"}
    assert hosts["ams-1"]["place"] == "ams"
    assert hosts["ams-1"]["netns"] == f"ac-{LAB}-ams-1"
    assert hosts["ams-1"]["address"].startswith("10.213.7.")
    assert hosts["ams-1"]["host_key"] == "ssh-ed25519 ams-1"
    assert set(hosts["site1-c1"]) == {
        "name", "kind", "place", "netns", "address", "user", "ssh_key", "host_key",
    }  # fmt: skip


def test_outputs(lab: Graph) -> None:
    assert lab.outputs["deployment"] == "lab"
    assert lab.outputs["anycast"] == ["192.0.2.1", "2001:db8:a::1"]
    assert lab.outputs["api"].startswith("https://10.213.7.")
    assert lab.outputs["api"].endswith(":8443")
    assert lab.outputs["control_ca"] == "certificate of secrets/authority"
    assert lab.outputs["operator_token"] == {"secret": "secret of secrets/operator-token"}


def test_every_log_in_pins_the_hosts_key_and_hides_the_own(lab: Graph) -> None:
    remote = [r for r in lab.resources.values() if r.type.startswith("command:remote:")]
    assert len(remote) > 30
    for registration in remote:
        connection = registration.plain("connection")
        assert connection["hostKey"].startswith("ssh-ed25519 "), registration.name
        key = connection["privateKey"]
        hidden = registration.is_secret("connection") or set(key) == {"secret"}
        assert hidden, registration.name


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("ams-1/secrets", "private_key of secrets/service-key"),
        ("ams-1/secrets", "stdout of ams-1/join-token"),
        ("control/authority", "private_key of secrets/authority"),
        ("control/operator", "secret of secrets/operator-token"),
        ("site1-c1/tunnel", "configuration of site1-c1/enrolment"),
    ],
)
def test_a_secret_travels_on_standard_input_only_and_stays_a_secret(
    lab: Graph, name: str, holds: str
) -> None:
    command = lab.named(name)
    assert command.is_secret("stdin")
    assert holds in command.plain("stdin")
    assert holds not in command.inputs["create"]
    assert command.inputs["logging"] == "none"
    assert {"stdout", "stderr"} <= command.secret_outputs


def test_no_secret_is_registered_in_the_clear(lab: Graph) -> None:
    secrets = [
        "the lab's private key",
        "private_key of",
        "secret of secrets/operator-token",
        "stdout of",
        "configuration of",
    ]
    for registration in lab.resources.values():
        text = clear(registration.inputs)
        assert not [secret for secret in secrets if secret in text], registration.urn


def test_what_providers_make_up_is_marked_secret(lab: Graph) -> None:
    assert lab.named("secrets/service-key").secret_outputs == {"private_key"}
    assert lab.named("secrets/authority").secret_outputs == {"private_key"}
    assert lab.named("secrets/operator-token").secret_outputs == {"secret"}
    assert {"configuration", "private_key", "preshared_key", "token"} <= lab.named(
        "site1-c1/enrolment"
    ).secret_outputs


def test_everything_on_a_host_dies_with_it(lab: Graph) -> None:
    for registration in lab.resources.values():
        if registration.type.startswith("command:remote:"):
            host = registration.name.partition("/")[0]
            home = "control" if registration.name.endswith("/join-token") else host
            assert lab.resources[registration.deleted_with].name == home, registration.name


def test_an_agent_starts_after_all_that_it_needs(lab: Graph) -> None:
    upstream = lab.upstream(lab.named("fra-1/agent"))
    assert {
        "fra-1",
        "fra-1/install",
        "fra-1/secrets",
        "fra-1/join-token",
        "fra-1/peers",
        "fra-edge/peers/fra-1",
        "control/api",
        "secrets/service-key",
    } <= upstream


def test_hosts_and_software_wait_for_nothing_of_the_control_plane(lab: Graph) -> None:
    for name in NODES:
        for part in ("install", "peers"):
            assert not {n for n in lab.upstream(lab.named(f"{name}/{part}")) if "control" in n}


def test_no_node_waits_for_another(lab: Graph) -> None:
    for name in NODES:
        others = [n for n in NODES if n != name]
        upstream = lab.upstream(lab.named(f"{name}/agent"))
        assert not [n for n in upstream if any(n.startswith((o, f"{o}/")) for o in others)]


def test_running_agents_change_one_after_another(lab: Graph) -> None:
    for number, name in enumerate(NODES):
        upstream = lab.upstream(lab.named(f"{name}/roll"))
        assert f"{name}/agent" in upstream
        before = {n for n in NODES if f"{n}/roll" in upstream and n != name}
        assert before == set(NODES[:number])


def test_a_removed_node_drains_before_it_loses_its_links(lab: Graph) -> None:
    token = lab.named("fra-1/join-token")
    assert token.inputs["delete"].endswith("anycastle-control forget-node fra-1 --drain 30")
    assert {"fra-1", "fra-edge/peers/fra-1"} <= lab.upstream(token)


def test_a_client_waits_for_the_operators_token(lab: Graph) -> None:
    assert "control/operator" in lab.upstream(lab.named("site2-c2/tunnel"))


def test_a_client_connects_when_every_node_may_serve_it(lab: Graph) -> None:
    tunnel = lab.named("site1-c1/tunnel", COMMAND)
    rolled = {lab.named(f"{node}/roll", COMMAND).urn for node in NODES}
    assert rolled <= set(tunnel.dependencies)


def test_the_mesh_is_full(lab: Graph) -> None:
    for name in NODES:
        peers = document(lab.named(f"{name}/peers"), "PEERS")
        assert {peer["name"] for peer in peers} == set(NODES) - {name}


def test_a_host_that_leaves_forgets_its_peers_after_its_agent_stopped(lab: Graph) -> None:
    peers = lab.named("fra-1/peers")
    assert peers.inputs["delete"] == "rm -f /etc/anycastle/peers.json"
    assert "fra-1/peers" in lab.upstream(lab.named("fra-1/agent"))


def test_a_node_is_told_what_it_is(lab: Graph) -> None:
    spec = document(lab.named("fra-2/agent"), "NODE_SPEC")
    assert (spec["name"], spec["datacentre"], spec["routing"]) == ("fra-2", "fra", "frr")
    assert spec["loopbacks"] == {"v4": "10.64.0.4", "v6": "fd00:64::4"}
    assert spec["control"]["urls"][0] == "https://198.51.100.17:8443"
    peers = document(lab.named("fra-2/peers"), "PEERS")
    assert peers[0] == {
        "name": "ams-1",
        "datacentre": "ams",
        "loopbacks": {"v4": "10.64.0.1", "v6": "fd00:64::1"},
    }


def test_the_api_is_told_the_public_key_and_its_own_names(lab: Graph) -> None:
    spec = document(lab.named("control/api"), "CONTROL_SPEC")
    assert spec["service_public_key"].startswith("CCCC")
    assert "198.51.100.17" in spec["names"]
    address = next(h["address"] for h in lab.outputs["hosts"] if h["name"] == "control")
    assert address in spec["names"]


def test_content_is_in_no_trigger(lab: Graph) -> None:
    """Triggers replace: only a new disk may."""
    for registration in lab.resources.values():
        if "triggers" in registration.inputs:
            host = registration.name.partition("/")[0]
            assert registration.inputs["triggers"] == [f"disk of {host}"]


def test_a_bundle_is_copied_and_installed_by_its_version(lab: Graph) -> None:
    assert "version-of-agent" in lab.named("ams-1/install").inputs["stdin"]
    assert "version-of-control" in lab.named("control/install").inputs["stdin"]
    assert str(lab.named("ams-1/bundle").inputs["source"]).endswith("agent.tar")


def test_a_preview_knows_as_much_as_there_is_to_know(run: Run, config: Any, lab: Graph) -> None:
    """The same resources, though what providers decide is unknown."""
    assert set(run(config, preview=True).resources) == set(lab.resources)


def test_a_bad_stack_file_ends_the_program_with_the_path(run: Run, config: Any) -> None:
    config["anycastle:deployment"]["datacentres"][0]["nodes"] = []
    config["anycastle:deployment"]["anycast"]["prot"] = 1
    with pytest.raises(ProgramFailed) as caught:
        run(config)
    assert "anycast.prot: unknown key; did you mean 'port'?" in str(caught.value)
    assert "Traceback" not in str(caught.value)
