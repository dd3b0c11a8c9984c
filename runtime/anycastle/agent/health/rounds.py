"""Runs all probes at once, and folds their results by severity.

A probe that hangs counts as failed after the round's time, keeps nobody waiting longer,
and is not started again before it ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from anycastle.agent.health.probe import Probe, Severity
from anycastle.model.status import ProbeStatus


@dataclass(frozen=True)
class Result:
    """complaint: empty when the probe is healthy. seconds: how long it took."""

    name: str
    severity: Severity
    complaint: str
    seconds: float

    @property
    def healthy(self) -> bool:
        return not self.complaint

    def status(self) -> ProbeStatus:
        return ProbeStatus(name=self.name, healthy=self.healthy, detail=self.complaint)


@dataclass
class _Run:
    task: asyncio.Task[str]
    started: float


class Rounds:
    """All probes of a node. timeout: seconds that a round may take."""

    def __init__(self, probes: Sequence[Probe], timeout: float) -> None:
        self._probes = probes
        self._timeout = timeout
        self._runs: dict[str, _Run] = {}
        self._good: dict[str, tuple[float, Result]] = {}

    async def round(self) -> list[Result]:
        """One result per probe, in order. Takes at most the time-out."""
        now = asyncio.get_running_loop().time()
        for probe in self._probes:
            if probe.name not in self._runs and not self._stands(probe, now):
                task = asyncio.ensure_future(probe.check())
                self._runs[probe.name] = _Run(task, now)
        if tasks := [run.task for run in self._runs.values()]:
            await asyncio.wait(tasks, timeout=self._timeout)
        return [self._result(probe) for probe in self._probes]

    async def cancel(self) -> None:
        """End the probes that are still running."""
        tasks = [run.task for run in self._runs.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._runs.clear()

    def _stands(self, probe: Probe, now: float) -> bool:
        """Does an earlier good result still stand?"""
        at, _ = self._good.get(probe.name, (float("-inf"), None))
        return now - at < probe.period

    def _result(self, probe: Probe) -> Result:
        run = self._runs.get(probe.name)
        if run is None:
            return self._good[probe.name][1]
        seconds = asyncio.get_running_loop().time() - run.started
        if not run.task.done():
            return Result(probe.name, probe.severity, f"no result after {seconds:.1f} s", seconds)
        del self._runs[probe.name]
        result = Result(probe.name, probe.severity, _complaint(run.task), seconds)
        if result.healthy:
            self._good[probe.name] = run.started, result
        return result


def _complaint(task: asyncio.Task[str]) -> str:
    if task.cancelled():
        return "the check was cancelled"
    if (error := task.exception()) is not None:
        return f"the check failed: {str(error) or type(error).__name__}"
    return task.result()


def reasons(results: Iterable[Result], severity: Severity) -> str:
    """The complaints of this severity in one line, empty when there are none."""
    return "; ".join(
        f"{result.name}: {result.complaint}"
        for result in results
        if result.severity is severity and not result.healthy
    )
