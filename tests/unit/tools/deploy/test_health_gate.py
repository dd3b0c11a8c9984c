"""The gate after a deployment: a table of courses, and the edge to the command."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from anycastle.cli.status import shape
from anycastle.model import api
from anycastle.model.status import NodeState
from tools.deploy import gate, verdict
from tools.deploy.verdict import Clients, Gate, Limits, Node, Phase, Status

LIMITS = Limits(settle=100, bake=60, patience=20, fewest=0.9)


def node(name: str, state: str = "UP", *, announcing: bool = True) -> Node:
    return Node(name=name, datacentre=name[:3], state=state, announcing=announcing)


def status(*nodes: Node, connected: int = 10) -> Status:
    return Status(nodes=nodes, clients=Clients(connected=connected))


GOOD = status(node("dub-1"), node("dub-2"), node("fra-1"))
ONE_DRAINS = status(node("dub-1", "DRAINING", announcing=False), node("dub-2"), node("fra-1"))
ELSEWHERE_ILL = status(node("dub-1"), node("dub-2"), node("fra-1", "DOWN"))
FEW = status(node("dub-1"), node("dub-2"), node("fra-1"), connected=8)
SILENT = "connection refused"


def course(samples: Sequence[tuple[float, Status | str]], before: Status | None = GOOD) -> Gate:
    found = verdict.begin("dub", before, LIMITS, 0.0)
    for now, sample in samples:
        found = verdict.step(found, sample, now)
    return found


@pytest.mark.parametrize(
    ("samples", "phase"),
    [
        ([(0, GOOD)], Phase.BAKING),
        ([(0, GOOD), (59, GOOD)], Phase.BAKING),
        ([(0, GOOD), (60, GOOD)], Phase.PASSED),
        ([(0, ONE_DRAINS), (99, ONE_DRAINS)], Phase.SETTLING),
        ([(0, ONE_DRAINS), (100, ONE_DRAINS)], Phase.FAILED),
        ([(0, ONE_DRAINS), (50, GOOD), (110, GOOD)], Phase.PASSED),
        ([(0, GOOD), (10, ONE_DRAINS), (29, ONE_DRAINS)], Phase.BAKING),
        ([(0, GOOD), (10, ONE_DRAINS), (30, ONE_DRAINS)], Phase.FAILED),
        ([(0, GOOD), (10, ONE_DRAINS), (20, GOOD), (35, ONE_DRAINS)], Phase.BAKING),
        ([(0, GOOD), (50, ONE_DRAINS), (60, ONE_DRAINS), (65, GOOD)], Phase.PASSED),
        ([(0, GOOD), (10, ELSEWHERE_ILL), (30, ELSEWHERE_ILL)], Phase.FAILED),
        ([(0, GOOD), (10, FEW), (30, FEW)], Phase.FAILED),
        ([(0, GOOD), (10, SILENT), (30, SILENT)], Phase.FAILED),
        ([(0, status(node("fra-1"))), (100, status(node("fra-1")))], Phase.FAILED),
        ([(0, GOOD), (60, GOOD), (61, SILENT), (99, SILENT)], Phase.PASSED),
    ],
)
def test_courses(samples: list[tuple[float, Status | str]], phase: Phase) -> None:
    assert course(samples).phase is phase


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (ONE_DRAINS, "dub-1 is DRAINING"),
        (ELSEWHERE_ILL, "fra-1 of fra served before and does not now"),
        (FEW, "8 clients are connected, 10 were before"),
        (SILENT, "no status: connection refused"),
        (status(node("fra-1")), "the control plane knows no node of dub"),
        (status(node("dub-1", announcing=False), node("dub-2"), node("fra-1")),
         "dub-1 does not announce"),
    ],
)  # fmt: skip
def test_reasons(sample: Status | str, reason: str) -> None:
    assert reason in course([(0, sample)]).reasons


def test_nodes_behind_a_load_balancer_never_announce() -> None:
    quiet = status(node("dub-1", announcing=False), node("dub-2", announcing=False))
    assert course([(0, quiet)], before=quiet).phase is Phase.BAKING
    assert course([(0, quiet)], before=None).phase is Phase.BAKING


def test_what_was_ill_before_elsewhere_is_not_this_deployment_s() -> None:
    assert course([(0, ELSEWHERE_ILL)], before=ELSEWHERE_ILL).phase is Phase.BAKING


@given(st.lists(st.sampled_from([GOOD, ONE_DRAINS, FEW, SILENT]), max_size=60))
def test_a_verdict_is_reached_and_kept(samples: list[Status | str]) -> None:
    timed = [(10.0 * number, sample) for number, sample in enumerate(samples)]
    found = course(timed)
    if timed and timed[-1][0] >= LIMITS.settle:
        assert found.phase is not Phase.SETTLING
    if found.decided:
        assert verdict.step(found, SILENT, 1e9).phase is found.phase


class Film:
    """Samples one after the other, and a clock that only sleeping moves."""

    def __init__(self, *samples: Status | str) -> None:
        self.samples = list(samples)
        self.now = 0.0
        self.said: list[str] = []

    def ask(self) -> Status | str:
        return self.samples.pop(0) if len(self.samples) > 1 else self.samples[0]

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def run(self) -> Gate:
        begun = verdict.begin("dub", GOOD, LIMITS, 0.0)
        time = gate.Time(lambda: self.now, self.sleep)
        return gate.watch(begun, 10.0, self.ask, self.said.append, time)


def test_watching_ends_with_the_verdict_and_says_what_changed() -> None:
    film = Film(ONE_DRAINS, ONE_DRAINS, GOOD, GOOD)
    assert film.run().phase is Phase.PASSED
    assert film.now == 80
    assert film.said == ["settling: dub-1 is DRAINING", "baking", "passed"]


def script(tmp_path: Path, text: str) -> list[str]:
    file = tmp_path / "status.py"
    file.write_text(text)
    return [sys.executable, str(file)]


def test_the_command_s_output_is_a_sample(tmp_path: Path) -> None:
    document = msgspec.to_builtins(GOOD) | {"deployment": "prod", "anycast": []}
    assert gate.ask(script(tmp_path, f"import json; print(json.dumps({document!r}))")) == GOOD


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import sys; sys.exit('no route')", "no route"),
        ("import sys; sys.exit(3)", "exit code 3"),
        ("print('{}')", "unreadable"),
    ],
)
def test_a_failing_command_is_no_sample(tmp_path: Path, text: str, words: str) -> None:
    found = gate.ask(script(tmp_path, text))
    assert isinstance(found, str)
    assert words in found


def test_the_gate_reads_what_the_command_prints() -> None:
    found = api.Status(
        deployment="prod",
        revision=7,
        anycast=(),
        nodes=(
            api.NodeView(
                name="dub-1", datacentre="dub", state=NodeState.UP, announcing=True, sessions=3,
                revision=7, routing="bird", wireguard="kernel", version="1",
            ),
        ),
        clients=api.ClientCounts(enrolled=12, connected=10),
    )  # fmt: skip
    printed = msgspec.json.encode(shape(found))
    assert msgspec.json.decode(printed, type=Status) == status(node("dub-1"))


def test_a_missing_command_is_no_sample() -> None:
    assert "No such file" in str(gate.ask(["/no/such/anycastle"]))


def test_a_first_deployment_has_no_status_before(tmp_path: Path) -> None:
    assert gate.read(None) is None
    assert gate.read(tmp_path / "none") is None
    (tmp_path / "empty").touch()
    assert gate.read(tmp_path / "empty") is None
    (tmp_path / "kept").write_bytes(msgspec.json.encode(GOOD))
    assert gate.read(tmp_path / "kept") == GOOD
