"""The deployment that the preview benchmark makes up, and how it finds the program's process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.preview_regions import NODES, REGIONS, documents, high_water, is_program
from tools.preview.workspace import Workspace

SHARED: dict[str, Any] = {"config": {"anycastle:deployment": {"name": "prod"}}}
TEMPLATE: dict[str, Any] = {
    "config": {
        "anycastle:stack": {"role": "region", "reads": "global"},
        "anycastle:datacentre": {
            "name": "x", "nodes": [], "services": ["10.9.0.0/24"],
            "aws": {"region": "x", "network": "10.1.0.0/16", "zones": [], "entry": "nlb"},
        },
    }
}  # fmt: skip


def test_regions_do_not_meet() -> None:
    made = documents(SHARED, TEMPLATE)
    assert set(made) == {"global", *(f"aws-{region}" for region in REGIONS)}
    datacentres = [made[f"aws-{region}"]["config"]["anycastle:datacentre"] for region in REGIONS]
    nodes = [node for datacentre in datacentres for node in datacentre["nodes"]]
    assert sorted(node["id"] for node in nodes) == list(range(1, NODES * len(REGIONS) + 1))
    assert len({node["name"] for node in nodes}) == len(nodes)
    assert len({datacentre["aws"]["network"] for datacentre in datacentres}) == len(REGIONS)
    assert {datacentre["aws"]["entry"] for datacentre in datacentres} == {"nlb"}
    assert SHARED["config"]["anycastle:deployment"] == {"name": "prod"}


def test_the_program_s_process_is_found_by_its_workspace(tmp_path: Path) -> None:
    place = Workspace(tmp_path)
    code = "import time; print(1, flush=True); time.sleep(30)"
    child = subprocess.Popen(
        [sys.executable, "-c", code, "pulumi-language-python-exec"],
        env={**os.environ, "PULUMI_HOME": str(place.home)},
        stdout=subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        child.stdout.readline()
        process = Path("/proc") / str(child.pid)
        assert is_program(process, place)
        assert not is_program(process, Workspace(tmp_path / "other"))
        assert not is_program(Path("/proc/self"), place)
        assert high_water(process) > 2**20
        assert high_water(Path("/proc/0")) == 0
    finally:
        child.kill()
        child.communicate()
