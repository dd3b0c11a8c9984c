import asyncio
import socket
from pathlib import Path

import pytest

from anycastle.agent import systemd
from anycastle.agent.jobs import Job, jittered


async def test_a_job_runs_again_after_its_pause_or_when_poked() -> None:
    runs: list[float] = []
    loop = asyncio.get_running_loop()

    async def work() -> float:
        runs.append(loop.time())
        return 0.05 if len(runs) == 1 else 60.0

    job = Job(work)
    task = asyncio.create_task(job.run())
    await asyncio.sleep(0.1)
    assert len(runs) == 2
    job.poke()
    await asyncio.sleep(0.01)
    assert len(runs) == 3
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_poke_during_the_work_is_not_lost() -> None:
    runs = 0

    async def work() -> float:
        nonlocal runs
        runs += 1
        if runs == 1:
            job.poke()
        return 60.0

    job = Job(work)
    task = asyncio.create_task(job.run())
    await asyncio.sleep(0.01)
    assert runs == 2
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_cancellation_that_comes_with_a_poke_counts() -> None:
    async def work() -> float:
        return 60.0

    job = Job(work)
    task = asyncio.create_task(job.run())
    await asyncio.sleep(0.01)
    job.poke()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 1)


def test_jitter_stays_within_a_quarter() -> None:
    values = [jittered(100.0) for _ in range(200)]
    assert 75 <= min(values) < max(values) <= 125


def test_systemd_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    systemd.notify("READY=1")  # nobody listens: no matter
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        systemd.notify("READY=1", "STATUS=UP")
        assert listener.recv(100) == b"READY=1\nSTATUS=UP"
    monkeypatch.delenv("NOTIFY_SOCKET")
    systemd.notify("READY=1")
