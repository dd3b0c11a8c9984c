"""A stack of kind metal through the real CLI, on hosts that it did not make.

The hosts are a lab's, booted without Pulumi; the stack file has their addresses and keys.
Their edge router gets what the stack prints for it, in BIRD's syntax.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from anycastle.model import codec
from anycastle.model.deployment import Deployment
from components.lab import sweep
from components.lab.layout import CHECKOUT, Layout, Management
from components.metal.neighbours import ROUTERS
from components.metal.neighbours.model import edge as edge_side
from tests.support.booted_lab import BootedLab
from tests.support.waiting import wait_for
from tools.provision import result
from tools.stack import up, workspace
from tools.stack.engine import Engine
from tools.stack.workspace import Workspace

IMAGE = CHECKOUT / ".lab" / "image"
NODES = {"ams-1": 1, "ams-2": 2}
LINKS = {"v4": "10.65.1.0/24", "v6": "fd00:65:1::/64"}

pytestmark = pytest.mark.timeout(600)


def public_key(lab: BootedLab, host: str) -> str:
    private = lab.layout.upper(host) / "etc/ssh/ssh_host_ed25519_key"
    done = subprocess.run(
        ["ssh-keygen", "-y", "-f", str(private)], capture_output=True, text=True, check=True
    )
    return " ".join(done.stdout.split()[:2])


class Metal:
    """Hosts of one datacentre, and a stack over them."""

    def __init__(self, lab: BootedLab, folder: Path) -> None:
        self.lab = lab
        self.workspace = Workspace("metal", folder)
        self.pulumi = Engine(self.workspace, result.read(), lambda _: None)
        workspace.prepare(self.workspace)

    def existing(self, name: str, **more: Any) -> dict[str, Any]:
        management = Management(self.lab.index)
        address = str(management.address(self.lab.plan.host(name).number))
        return {"address": address, "host_key": public_key(self.lab, name), **more}

    def document(self, *nodes: str) -> dict[str, Any]:
        return {
            "name": "metal",
            "asn": 64512,
            "anycast": {
                "addresses": ["192.0.2.1", "2001:db8:a::1"],
                "prefixes": ["192.0.2.0/24", "2001:db8:a::/48"],
            },
            "pools": {"v4": "10.200.0.0/16", "v6": "fd00:200::/64"},
            "loopbacks": {"v4": "10.64.0.0/24", "v6": "fd00:64::/64"},
            "control_plane": {"addresses": ["198.51.100.17"]},
            "health": {"clock": "trusted"},
            "metal": {"control": self.existing("control")},
            "datacentres": [
                {
                    "name": "ams",
                    "kind": "metal",
                    "edges": [{"name": "ams-edge", "asn": 64601, "links": LINKS}],
                    "nodes": [{"name": name, "id": NODES[name]} for name in nodes],
                    "metal": {"hosts": {name: self.existing(name, nics=["up0"]) for name in nodes}},
                }
            ],
        }

    def configure(self, *nodes: str) -> Deployment:
        """Write the stack file; the private key goes in as a person would set it."""
        document = self.document(*nodes)
        config = {"config": {"anycastle:deployment": document}}
        self.workspace.config.write_text(yaml.safe_dump(config))
        up.make_stack(self.workspace, self.pulumi)
        key = self.lab.private_key
        self.pulumi.quiet("config", "set", "--secret", "anycastle:sshKey", "--", key)
        return codec.from_plain(document, Deployment)

    def up(self) -> None:
        status = self.pulumi.watched("up", "--yes", "--skip-preview", "--suppress-outputs")
        logs = sorted(self.workspace.logs.glob("up-*.log"))
        assert status == 0, logs[-1].read_text()[-6000:]

    def report(self, node: str) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.lab.run(node, "anycastle-agent status --json"))
        return told


@pytest.fixture
def metal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Metal]:
    if not IMAGE.exists():
        pytest.skip(f"no image of lab hosts at {IMAGE}: `make setup` builds it")
    folder = tmp_path_factory.mktemp("metal")
    layout = Layout(f"m{folder.name[-6:].strip('-').lower()}", folder / "hosts")
    layout.directory.mkdir()
    try:
        lab = BootedLab(layout, IMAGE.resolve())
        lab.boot("control", "core1", "ams-edge", *NODES)
        yield Metal(lab, folder)
    finally:
        sweep.sweep(layout)
        assert sweep.remains(layout) == []


def test_a_stack_over_hosts_that_exist(metal: Metal) -> None:
    lab = metal.lab
    deployment = metal.configure(*NODES)
    datacentre = deployment.datacentres[0]
    router = ROUTERS["bird"](edge_side(deployment, datacentre, datacentre.edges[0]))
    lab.run("ams-edge", "cat >/etc/bird/nodes.d/metal.conf && birdc configure", router)
    # The uplinks have no addresses before the stack gives them theirs.
    for node in NODES:
        lab.run(node, "ip address flush dev up0 scope global")
    metal.up()

    outputs = metal.pulumi.outputs()
    assert outputs["routers"]["ams-edge"]["bird"] == router
    for node in NODES:
        assert metal.report(node)["state"] == "UP"
        assert lab.run(node, "systemctl is-enabled anycastle-uplink-up0").strip() == "enabled"
    wait_for("both at the edge", lambda: at_edge(lab) == {"ams-1", "ams-2"}, 20)

    metal.up()  # nothing changes
    last = max(metal.workspace.logs.glob("up-*.log")).read_text()
    assert "unchanged" in last
    assert " created" not in last
    assert " updated" not in last
    assert " deleted" not in last

    metal.configure("ams-1")
    metal.up()
    wait_for("one at the edge", lambda: at_edge(lab) == {"ams-1"}, 20)
    assert lab.run("ams-2", "ls /etc/anycastle /opt/anycastle 2>/dev/null || true") == ""
    assert "fd00:65:1::5" not in lab.run("ams-2", "ip address show dev up0")
    assert lab.run("ams-2", "hostname").strip() == "ams-2"  # the host itself stays
    assert metal.report("ams-1")["state"] == "UP"


def at_edge(lab: BootedLab) -> set[str]:
    """Nodes from which the edge router has the anycast prefix."""
    table = lab.run("ams-edge", "birdc show route 192.0.2.0/24")
    return {name for name in NODES if f"node_{name.replace('-', '_')}_v4" in table}
