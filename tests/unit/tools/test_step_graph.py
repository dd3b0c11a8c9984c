from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.provision.commands import Shell
from tools.provision.graph import Outcome, Run, Step, StepFailed, check_graph
from tools.provision.progress import explain


@dataclass
class Silent:
    """Keeps what it is told."""

    begun: list[str] = field(default_factory=list)
    ended: list[Outcome] = field(default_factory=list)

    def started(self, step: Step) -> None:
        self.begun.append(step.name)

    def finished(self, outcome: Outcome) -> None:
        self.ended.append(outcome)


@dataclass
class World:
    """What steps have made."""

    made: set[str] = field(default_factory=set)

    def step(
        self, name: str, needs: tuple[str, ...] = (), action: Callable[[Shell], None] | None = None
    ) -> Step:
        def make(shell: Shell) -> None:
            if action:
                action(shell)
            self.made.add(name)

        return Step(name, lambda: name in self.made, make, needs)


def run(tmp_path: Path, *steps: Step) -> tuple[dict[str, Outcome], Silent]:
    silent = Silent()
    return {outcome.step.name: outcome for outcome in Run(tmp_path, silent)(steps)}, silent


def test_what_is_there_already_is_skipped(tmp_path: Path) -> None:
    world = World()
    first, _ = run(tmp_path, world.step("a"), world.step("b", ("a",)))
    second, silent = run(tmp_path, world.step("a"), world.step("b", ("a",)))
    assert {name: outcome.state for name, outcome in first.items()} == {"a": "done", "b": "done"}
    assert {name: outcome.state for name, outcome in second.items()} == {
        "a": "skipped",
        "b": "skipped",
    }
    assert silent.begun == []


def test_independent_steps_run_side_by_side(tmp_path: Path) -> None:
    world, meeting = World(), threading.Barrier(2, timeout=10)

    def meet(_: Shell) -> None:
        meeting.wait()

    outcomes, _ = run(
        tmp_path,
        world.step("a", action=meet),
        world.step("b", action=meet),
    )
    assert [outcome.state for outcome in outcomes.values()] == ["done", "done"]


def test_a_need_comes_first(tmp_path: Path) -> None:
    world, order = World(), list[str]()
    run(
        tmp_path,
        world.step("slow", action=lambda _: order.append("slow")),
        world.step("after", ("slow",), action=lambda _: order.append("after")),
    )
    assert order == ["slow", "after"]


def test_a_failure_blocks_only_what_needs_it(tmp_path: Path) -> None:
    world = World()

    def fails(shell: Shell) -> None:
        shell.run(["sh", "-c", "echo the disk is on fire >&2; exit 7"])

    outcomes, _ = run(
        tmp_path, world.step("a", action=fails), world.step("b", ("a",)), world.step("c")
    )
    states = {name: outcome.state for name, outcome in outcomes.items()}
    assert states == {"a": "failed", "b": "blocked", "c": "done"}
    text = explain(list(outcomes.values()))
    assert "'a'" in text
    assert "ended with 7" in text
    assert "the disk is on fire" in text
    assert "what to do: " in text


def test_a_step_that_makes_nothing_has_failed(tmp_path: Path) -> None:
    outcomes, _ = run(tmp_path, Step("idle", lambda: False, lambda _: None))
    assert outcomes["idle"].state == "failed"
    assert "its result is not there" in outcomes["idle"].reason


def test_a_step_may_bring_its_own_remedy(tmp_path: Path) -> None:
    def refuse(_: Shell) -> None:
        raise StepFailed("wrong machine", "take another one")

    outcomes, _ = run(tmp_path, Step("x", lambda: False, refuse))
    assert outcomes["x"].remedy == "take another one"


def test_a_missing_command_and_a_hanging_one_are_failures(tmp_path: Path) -> None:
    world = World()
    outcomes, _ = run(
        tmp_path,
        world.step("missing", action=lambda shell: shell.run(["/no/such/command"])),
        world.step("hangs", action=lambda shell: shell.run(["sleep", "60"], timeout=0.1)),
    )
    assert "not found" in outcomes["missing"].reason
    assert "did not end within" in outcomes["hangs"].reason


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([("a", ()), ("a", ())], "stands twice"),
        ([("a", ("b",)), ("b", ())], "does not come before"),
        ([("a", ("nowhere",))], "nowhere"),
    ],
)
def test_a_wrong_graph_is_refused(steps: list[tuple[str, tuple[str, ...]]], message: str) -> None:
    world = World()
    with pytest.raises(ValueError, match=message):
        check_graph([world.step(name, needs) for name, needs in steps])
