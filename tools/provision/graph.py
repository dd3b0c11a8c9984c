"""Runs set-up steps side by side, each once the steps that it needs are done.

Theory of operation. A step whose `ready` says that its results are there is skipped; what it makes lies
at a path (or under a stamp) that carries the hash of its recipe, so a changed recipe is simply not
there yet. Otherwise its action runs in a thread with a log file of its own. A step that fails stops
only the steps that need it; the others run to their end, so one run finds every problem. Nothing here
knows what the steps do.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tools.provision.commands import CommandFailed, Log, Shell


class StepFailed(Exception):
    """A step can't be done; `remedy` tells the reader what to do about it."""

    def __init__(self, reason: str, remedy: str = "") -> None:
        super().__init__(reason)
        self.remedy = remedy


@dataclass(frozen=True)
class Step:
    """One thing that set-up brings about.

    `ready` tells whether the results of this very recipe are there (cheap, no side effect); `action`
    makes them; `remedy` is what a person should do when it fails.
    """

    name: str
    ready: Callable[[], bool]
    action: Callable[[Shell], None]
    needs: tuple[str, ...] = ()
    remedy: str = "see the log, then run the same command again: it goes on where it stopped"


@dataclass
class Outcome:
    """What became of a step: `done`, `skipped` (was done), `failed` or `blocked` (a need failed)."""

    step: Step
    state: str
    seconds: float = 0.0
    reason: str = ""
    remedy: str = ""
    log: Path | None = None
    notes: tuple[str, ...] = ()


class Reporter(Protocol):
    """The edge to the person in front of the screen."""

    def started(self, step: Step) -> None: ...

    def finished(self, outcome: Outcome) -> None: ...


@dataclass(frozen=True)
class Run:
    """Settings of one run of the graph."""

    logs: Path
    reporter: Reporter
    clock: Callable[[], float] = time.monotonic

    def __call__(self, steps: Sequence[Step]) -> list[Outcome]:
        """Carry out `steps`; returns one outcome a step, in the order of completion."""
        check_graph(steps)
        waiting = {step.name: step for step in steps}
        outcomes: dict[str, Outcome] = {}
        with ThreadPoolExecutor(max_workers=max(1, len(steps))) as pool:
            running: set[Future[Outcome]] = set()
            while waiting or running:
                for outcome in self._settle(waiting, outcomes):
                    outcomes[outcome.step.name] = outcome
                    self.reporter.finished(outcome)
                for step in startable(waiting, outcomes):
                    del waiting[step.name]
                    running.add(pool.submit(self._perform, step))
                if not running:
                    continue
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    outcome = future.result()
                    outcomes[outcome.step.name] = outcome
                    self.reporter.finished(outcome)
        return list(outcomes.values())

    def _settle(self, waiting: dict[str, Step], outcomes: dict[str, Outcome]) -> Iterator[Outcome]:
        """Take steps out of `waiting` that need not or cannot run; yields their outcomes."""
        for step in list(waiting.values()):
            lost = [need for need in step.needs if broken(outcomes.get(need))]
            if lost:
                del waiting[step.name]
                yield Outcome(step, "blocked", reason=f"needs {', '.join(lost)}")
            elif step.ready():
                del waiting[step.name]
                yield Outcome(step, "skipped")

    def _perform(self, step: Step) -> Outcome:
        self.reporter.started(step)
        start = self.clock()
        log = Log(self.logs / f"{step.name}.log")

        shell = Shell(log)

        def outcome(state: str, reason: str = "", remedy: str = "") -> Outcome:
            spent = self.clock() - start
            return Outcome(step, state, spent, reason, remedy, log.path, tuple(shell.notes))

        with self._closing(log):
            try:
                step.action(shell)
                if not step.ready():
                    return outcome("failed", "it ran, but its result is not there", step.remedy)
            except StepFailed as error:
                return outcome("failed", str(error), error.remedy or step.remedy)
            except (CommandFailed, OSError, ValueError) as error:
                return outcome("failed", str(error), step.remedy)
        return outcome("done")

    @contextmanager
    def _closing(self, log: Log) -> Iterator[None]:
        try:
            yield
        finally:
            log.close()


def broken(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.state in ("failed", "blocked")


def startable(waiting: dict[str, Step], outcomes: dict[str, Outcome]) -> list[Step]:
    """The waiting steps whose needs are all met."""
    return [
        step
        for step in waiting.values()
        if all(need in outcomes for need in step.needs)
        and not any(broken(outcomes[need]) for need in step.needs)
    ]


def check_graph(steps: Sequence[Step]) -> None:
    """Raises ValueError for a name that stands twice, an unknown need or a circle of needs."""
    names: set[str] = set()
    for step in steps:
        if step.name in names:
            raise ValueError(f"step {step.name} stands twice")
        for need in step.needs:
            if need not in names:
                raise ValueError(f"step {step.name} needs {need}, which does not come before it")
        names.add(step.name)
