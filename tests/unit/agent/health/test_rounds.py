import asyncio

from anycastle.agent.health.probe import Probe, Severity
from anycastle.agent.health.rounds import Result, Rounds, reasons


def probe(name: str, complaint: str = "", severity: Severity = Severity.HARD) -> Probe:
    async def check() -> str:
        return complaint

    return Probe(name, severity, check)


async def test_results_come_in_order() -> None:
    results = await Rounds([probe("a"), probe("b", "is broken")], timeout=1.0).round()
    assert [(r.name, r.healthy, r.complaint) for r in results] == [
        ("a", True, ""),
        ("b", False, "is broken"),
    ]
    assert results[1].status().detail == "is broken"


async def test_an_exception_is_a_failure() -> None:
    async def check() -> str:
        raise OSError(28, "No space left on device")

    (result,) = await Rounds([Probe("disk", Severity.SOFT, check)], timeout=1.0).round()
    assert result.complaint == "the check failed: [Errno 28] No space left on device"


async def test_a_hung_probe_fails_and_holds_up_nobody() -> None:
    started, release = 0, asyncio.Event()

    async def check() -> str:
        nonlocal started
        started += 1
        await release.wait()
        return ""

    rounds = Rounds([Probe("hung", Severity.HARD, check), probe("fine")], timeout=0.05)
    begin = asyncio.get_running_loop().time()
    for _ in range(3):
        hung, fine = await rounds.round()
        assert hung.complaint.startswith("no result after 0.")
        assert fine.healthy
    assert asyncio.get_running_loop().time() - begin < 1.0
    assert started == 1, "a second one must not pile up on the first"
    release.set()
    hung, _ = await rounds.round()
    assert hung.healthy
    await rounds.round()
    assert started == 2


async def test_probes_run_at_the_same_time() -> None:
    meeting = asyncio.Barrier(3)

    async def check() -> str:
        await meeting.wait()
        return ""

    rounds = Rounds([Probe(name, Severity.SOFT, check) for name in "abc"], timeout=5.0)
    assert all(result.healthy for result in await rounds.round())


async def test_a_good_result_stands_for_its_period_and_a_bad_one_does_not() -> None:
    answers = ["", "broken", "broken", ""]
    asked = 0

    async def check() -> str:
        nonlocal asked
        asked += 1
        return answers[asked - 1]

    rounds = Rounds([Probe("x", Severity.SOFT, check, period=0.05)], timeout=1.0)
    assert (await rounds.round())[0].healthy
    assert (await rounds.round())[0].healthy
    assert asked == 1
    await asyncio.sleep(0.06)
    assert not (await rounds.round())[0].healthy
    assert not (await rounds.round())[0].healthy
    assert (await rounds.round())[0].healthy
    assert asked == 4


async def test_cancel_ends_what_still_runs() -> None:
    async def check() -> str:
        await asyncio.Event().wait()
        return ""

    rounds = Rounds([Probe("x", Severity.SOFT, check)], timeout=0.01)
    await rounds.round()
    await rounds.cancel()
    assert len(asyncio.all_tasks()) == 1


def test_reasons_are_sorted_by_severity() -> None:
    results = [
        Result("a", Severity.HARD, "one", 0.0),
        Result("b", Severity.SOFT, "two", 0.0),
        Result("c", Severity.HARD, "", 0.0),
        Result("d", Severity.HARD, "three", 0.0),
    ]
    assert reasons(results, Severity.HARD) == "a: one; d: three"
    assert reasons(results, Severity.SOFT) == "b: two"
    assert reasons(results, Severity.FATAL) == ""
