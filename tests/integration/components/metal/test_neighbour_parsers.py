"""BIRD's and FRR's own parsers read what the stack prints for edge routers."""

from __future__ import annotations

import subprocess
from pathlib import Path

from components.metal.neighbours import ROUTERS
from components.metal.neighbours.model import edge
from tests.samples.lab_deployment import DEPLOYMENT

FRA = DEPLOYMENT.datacentres[1]
ROUTER = edge(DEPLOYMENT, FRA, FRA.edges[0])
AROUND = """\
router id 10.64.0.202;
protocol device {{ }}
protocol bfd {{ }}
protocol kernel {{ merge paths on limit 16; ipv4 {{ export all; }}; }}
protocol kernel {{ merge paths on limit 16; ipv6 {{ export all; }}; }}
include "{file}";
"""


def bird(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "nodes.conf").write_text(text)
    whole = folder / "bird.conf"
    whole.write_text(AROUND.format(file=folder / "nodes.conf"))
    return subprocess.run(
        ["bird", "-p", "-c", str(whole)], capture_output=True, text=True, check=False
    )


def frr(folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    file = folder / "frr.conf"
    file.write_text(text)
    return subprocess.run(
        ["vtysh", "-C", "-f", str(file)], capture_output=True, text=True, check=False
    )


def test_bird_takes_it(tmp_path: Path) -> None:
    done = bird(tmp_path, ROUTERS["bird"](ROUTER))
    assert (done.returncode, done.stderr) == (0, "")


def test_frr_takes_it(tmp_path: Path) -> None:
    done = frr(tmp_path, ROUTERS["frr"](ROUTER))
    assert (done.returncode, done.stderr.strip()) == (0, "")
    assert "Unknown" not in done.stdout
    assert "incomplete" not in done.stdout.lower()


def test_the_parsers_see_faults(tmp_path: Path) -> None:
    assert bird(tmp_path, ROUTERS["bird"](ROUTER).replace("accept;", "acept;")).returncode != 0
    spoilt = frr(tmp_path, ROUTERS["frr"](ROUTER).replace("maximum-paths", "maximum-path5"))
    assert spoilt.returncode != 0
